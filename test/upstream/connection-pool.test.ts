import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../helpers/servers.ts';
import { openPool } from './pool.ts';
import { startProxy } from './proxy-server.ts';
import { httpAnswer, startRawServer } from './raw-server.ts';

const kindsOf = (exchanges: readonly { kind: string }[]) => [...new Set(exchanges.map(({ kind }) => kind))];

describe('connections to a server', () => {
  it('are made at most eight at a time', async () => {
    await using server = await startRawServer((socket) => void setTimeout(() => socket.write(httpAnswer(200)), 100));
    await using proxy = await startProxy(async () => await delay(20, 200));
    await using pool = openPool(server.url, { connections: 200, way: { proxy: `http://127.0.0.1:${proxy.port}`, tls: null } });
    const exchanges = await Promise.all(Array.from({ length: 100 }, async () => await pool.post()));
    assert.deepEqual(kindsOf(exchanges), ['answered']);
    assert.equal(proxy.mostWaiting, 8);
    assert.ok(server.connections <= 100, `${server.connections}`);
  });

  it('are used again, so that requests one after another need one', async () => {
    await using server = await startRawServer((socket) => void socket.write(httpAnswer(200)));
    await using pool = openPool(server.url);
    for (let count = 0; count < 20; count += 1) await pool.post();
    assert.equal(server.connections, 1);
  });

  it('are made anew where the server closes each after its answer', async () => {
    await using server = await startRawServer((socket) => void socket.end(httpAnswer(200, '{}', { Connection: 'close' })));
    await using pool = openPool(server.url, { connections: 4 });
    const exchanges = await Promise.all(Array.from({ length: 20 }, async () => await pool.post()));
    assert.deepEqual([kindsOf(exchanges), server.connections], [['answered'], 20]);
  });

  it('fail for all that wait at once when nobody listens', async () => {
    await using pool = openPool(`http://127.0.0.1:${await freePort()}`, { connections: 1280 });
    const startedMs = performance.now();
    const exchanges = await Promise.all(Array.from({ length: 1280 }, async () => await pool.post()));
    assert.deepEqual(kindsOf(exchanges), ['not_connected']);
    assert.ok(performance.now() - startedMs < 5000);
  });

  it('fail for nobody while others are made', async () => {
    await using server = await startRawServer((socket) => void setTimeout(() => socket.write(httpAnswer(200)), 20));
    await using proxy = await startProxy(async (_, count) => await delay(10, count % 3 === 0 ? 503 : 200));
    await using pool = openPool(server.url, { connections: 20, way: { proxy: `http://127.0.0.1:${proxy.port}`, tls: null } });
    const exchanges = await Promise.all(Array.from({ length: 40 }, async () => await pool.post()));
    assert.deepEqual(kindsOf(exchanges), ['answered']);
  });

  it('are given up in time, so that a server that joins a name later gets its part', async () => {
    await using first = await startRawServer((socket) => void setTimeout(() => socket.write(httpAnswer(200)), 5));
    await using second = await startRawServer((socket) => void setTimeout(() => socket.write(httpAnswer(200)), 5));
    // What stands behind the balancer changes while requests run.
    let servers = [first.port];
    await using balancer = await startProxy(
      () => 200,
      (count) => servers[count % servers.length] ?? null,
    );
    await using pool = openPool(first.url, {
      way: { proxy: `http://127.0.0.1:${balancer.port}`, tls: null },
      connectionLifetimeMs: [100, 200],
    });
    let goOn = true;
    const lanes = Promise.all(
      Array.from({ length: 8 }, async () => {
        while (goOn) assert.equal((await pool.post()).kind, 'answered');
      }),
    );
    await delay(300);
    assert.equal(second.requests.length, 0);
    servers = [first.port, second.port];
    await delay(300);
    const before = [first.requests.length, second.requests.length];
    await delay(900);
    goOn = false;
    await lanes;
    const [one, two] = [first.requests.length - (before[0] ?? 0), second.requests.length - (before[1] ?? 0)];
    assert.ok(two / (one + two) > 0.3 && two / (one + two) < 0.7, `${one} ${two}`);
  });

  it('ask with TCP keep-alive whether the other side is still there', async () => {
    let accepted: () => void = () => undefined;
    const isAccepted = new Promise<void>((resolve) => (accepted = resolve));
    const server = createServer((socket) => void socket.on('error', () => undefined).once('data', () => accepted())).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    {
      await using pool = openPool(`http://127.0.0.1:${address.port}`);
      const hanging = pool.post();
      await isAccepted;
      await delay(50);
      assert.equal(keepAliveTimerOf(address.port), true);
      await pool[Symbol.asyncDispose]();
      assert.equal((await hanging).kind, 'aborted');
    }
    server.close();
  });
});

/** Whether the kernel has a keep-alive timer (02) of at most 30 s on a connection to this port. */
function keepAliveTimerOf(port: number): boolean {
  const remote = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .some((fields) => {
      const [kind, jiffies = ''] = (fields[5] ?? '').split(':');
      return fields[2]?.endsWith(remote) === true && kind === '02' && Number.parseInt(jiffies, 16) <= 3000;
    });
}

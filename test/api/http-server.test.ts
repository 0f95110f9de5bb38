import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import Koa from 'koa';
import type { ApiState } from '../../src/api/context.ts';
import { CONNECTION_BOUNDS, type ConnectionBounds, createHttpServer } from '../../src/api/http-server.ts';
import { until } from '../helpers/until.ts';

describe('createHttpServer', () => {
  it('closes although a client goes on asking on a connection that had a request in flight', async () => {
    const app = new Koa<ApiState>();
    const [arrived, isOpen] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    app.use(async (ctx) => {
      arrived.resolve();
      await isOpen.promise;
      ctx.body = 'answer';
    });
    const server = createHttpServer(app, () => '0');
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = async () =>
      await new Promise<IncomingMessage>((resolve, reject) => {
        get({ host: '127.0.0.1', port, agent }, (answer) => answer.resume().on('end', () => resolve(answer))).on('error', reject);
      });

    const inFlight = ask();
    await arrived.promise;
    const closed = once(server, 'close');
    server.close();
    isOpen.resolve();
    assert.equal((await inFlight).statusCode, 200);
    const next = await ask();
    assert.deepEqual([next.statusCode, next.headers.connection], [200, 'close']);
    await assert.rejects(ask(), { code: 'ECONNREFUSED' });
    await closed;
    agent.destroy();
  });

  /** A server whose answers the test ends itself, on a raw connection. */
  async function start(bounds: Partial<ConnectionBounds>, answer: (path: string) => Promise<string> | string) {
    const app = new Koa<ApiState>();
    const asked: string[] = [];
    app.use(async (ctx) => {
      asked.push(ctx.path);
      ctx.body = await answer(ctx.path);
    });
    const server = createHttpServer(app, () => '0', { ...CONNECTION_BOUNDS, ...bounds });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const socket = connect(typeof address === 'object' ? Number(address?.port) : 0, '127.0.0.1');
    await once(socket, 'connect');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('error', () => {});
    return {
      server,
      socket,
      asked,
      text: () => text,
      async [Symbol.asyncDispose]() {
        socket.destroy();
        server.closeAllConnections();
        server.close();
      },
    };
  }
  const get1 = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;

  it('answers requests of one connection in order, and begins none before the one ahead is answered', async () => {
    const gates = new Map(['/1', '/2', '/3'].map((path) => [path, Promise.withResolvers<string>()]));
    await using open = await start({}, async (path) => (await gates.get(path)?.promise) ?? '');
    open.socket.write(get1('/1') + get1('/2') + get1('/3'));
    for (const [at, path] of ['/1', '/2', '/3'].entries()) {
      await until(() => open.asked.length === at + 1, { what: `${path} to be begun`, everyMs: 2 });
      gates.get(path)?.resolve(`body of ${path}`);
      await until(() => open.text().includes(`body of ${path}`), { what: `the answer to ${path}`, everyMs: 2 });
    }
    assert.deepEqual(open.asked, ['/1', '/2', '/3']);
  });

  it('closes a connection on which hundreds of requests wait for an answer', async () => {
    const never = Promise.withResolvers<string>();
    await using open = await start({}, async () => await never.promise);
    open.socket.write(get1('/list').repeat(500));
    await until(() => open.socket.closed, { what: 'the connection to be closed' });
    assert.deepEqual(open.asked, ['/list']);
  });

  it('keeps a connection open between two requests for as long as it is told', async () => {
    assert.ok(CONNECTION_BOUNDS.keepAliveMs > 60_000, 'longer than the 60 s after which load balancers give it up themselves');
    for (const [keepAliveMs, isOpen] of [
      [100, false],
      [60_000, true],
    ] as const) {
      await using open = await start({ keepAliveMs }, () => 'ok');
      open.socket.write(get1('/1'));
      await until(() => open.text().endsWith('ok'), { what: 'an answer', everyMs: 2 });
      // Node adds a second to what it was told, and by itself would close after 5 s.
      const idle = once(open.socket, 'close').then(() => 'closed');
      assert.equal(await Promise.race([idle, delay(isOpen ? 6500 : 30_000, 'open')]), isOpen ? 'open' : 'closed');
    }
  });

  it('answers 408 when the headers do not arrive in time, and closes a connection on which nothing moves', async () => {
    await using late = await start({ headersMs: 100, idleMs: 60_000 }, () => 'ok');
    late.socket.write('GET / HTTP/1.1\r\nhost: x');
    await until(() => late.text().startsWith('HTTP/1.1 408 '), { what: 'the 408', seconds: 60 });
    await using idle = await start({ idleMs: 200 }, () => 'ok');
    await until(() => idle.socket.closed, { what: 'the connection to be closed' });
  });

  it('closes the connection of a client that does not read its answer, and of no other', async () => {
    const body = 'x'.repeat(16 * 1024 * 1024);
    const readPace = { idleTimeoutMs: 3000, minBytesPerSecond: 1 };
    await using stalled = await start({ readPace }, () => body);
    await using reading = await start({ readPace }, () => body);
    stalled.socket.pause();
    for (const { socket } of [stalled, reading]) socket.write(get1('/large'));
    await until(() => reading.text().length > body.length, { what: 'the whole answer', seconds: 60 });
    const held = async () => await new Promise<number>((resolve) => stalled.server.getConnections((_, count) => resolve(count)));
    await until(async () => (await held()) === 0, { what: 'the stalled connection to be closed', seconds: 60 });
    assert.equal(reading.socket.closed, false);
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import Koa from 'koa';
import type { ApiState } from '../../src/api/context.ts';
import { createHttpServer } from '../../src/api/http-server.ts';
import { bodySlots } from '../../src/api/middleware/body-slots.ts';
import { readWholeBody } from '../../src/api/request-body.ts';
import { errorEnvelope } from '../../src/api/middleware/error-envelope.ts';
import { until } from '../helpers/until.ts';

const PACE = { idleTimeoutMs: 60_000, minBytesPerSecond: 1, maxBytes: 1000 };

describe('bodySlots', () => {
  /** An API that reads bodies and then answers only when it is let go. */
  async function start() {
    const app = new Koa<ApiState>();
    const refused: string[] = [];
    const letGo = Promise.withResolvers<void>();
    const logger = { error: () => undefined, info: () => undefined, warn: () => undefined, debug: () => undefined };
    app.use(errorEnvelope({ logger }));
    app.use(async (ctx, next) => {
      ctx.state.tenant = ctx.get('x-tenant');
      await next();
    });
    app.use(
      bodySlots({
        onRefused: async ({ state }) => void refused.push(state.tenant ?? ''),
        bounds: { what: '2 bodies at a time', perTenant: 2, total: 3, maxWaiting: 0, maxWaitMs: 1000 },
      }),
    );
    app.use(async (ctx) => {
      await readWholeBody(ctx.req, PACE);
      await letGo.promise;
      ctx.body = 'read';
    });
    const server = createHttpServer(app, () => '0').listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? Number(address?.port) : 0;
    const post = async (tenant: string, body: string) => {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.write(`POST / HTTP/1.1\r\nhost: x\r\nx-tenant: ${tenant}\r\ncontent-length: 10\r\n\r\n${body}`);
      return { socket, status: async () => (await until(() => text !== '', { what: 'an answer' }), Number(text.slice(9, 12))) };
    };
    return {
      post,
      refused,
      letGo: letGo.resolve,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        server.close();
      },
    };
  }

  it('refuses a tenant whose bodies stall with 429 and a full process with 503, and serves others', async () => {
    await using api = await start();
    const stalled = [await api.post('a', 'half'), await api.post('a', 'half')];
    await until(async () => (await (await api.post('a', 'half')).status()) === 429, { what: 'a refusal' });
    const other = await api.post('b', 'half');
    assert.equal(await (await api.post('c', 'half')).status(), 503);
    assert.deepEqual([api.refused[0], api.refused.at(-1)], ['a', 'c']);
    api.letGo();
    for (const { socket } of [...stalled, other]) socket.write('whole.');
    for (const { status } of [...stalled, other]) assert.equal(await status(), 200);
  });

  it('counts a body no more once it is whole or its client is gone', async () => {
    await using api = await start();
    const whole = [];
    for (let sent = 0; sent < 6; sent += 1) whole.push(await api.post('a', '0123456789'));
    const gone = [await api.post('a', 'half'), await api.post('a', 'half')];
    for (const { socket } of gone) socket.destroy();
    api.letGo();
    for (const { status } of whole) assert.equal(await status(), 200);
    await until(async () => (await (await api.post('a', '0123456789')).status()) === 200, { what: 'a slot' });
  });
});

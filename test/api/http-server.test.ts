import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { describe, it } from 'node:test';
import Koa from 'koa';
import type { ApiState } from '../../src/api/context.ts';
import { createHttpServer } from '../../src/api/http-server.ts';

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
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import Koa from 'koa';
import type { ApiState } from '../../src/api/context.ts';
import { createHttpServer } from '../../src/api/http-server.ts';
import type { Tracing } from '../../src/telemetry/tracing.ts';
import { watchHttp } from '../../src/telemetry/watch-http.ts';
import { until } from '../helpers/until.ts';

describe('watchHttp', () => {
  it('counts a request whose target cannot be parsed and that no middleware behind it has seen', async () => {
    const counted: string[] = [];
    const tracing: Tracing = {
      isOn: true,
      span: async () => await Promise.reject(new Error('planted')),
    } as unknown as Tracing;
    const app = new Koa<ApiState>();
    app.silent = true;
    const metrics = { httpAnswered: ({ route }: { route: string }) => void counted.push(route) };
    app.use(watchHttp({ metrics, tracing, trustsTraces: false, monotonicMs: () => performance.now() }));
    const server = createHttpServer(app, () => '0').listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const socket = connect(typeof address === 'object' ? Number(address?.port) : 0, '127.0.0.1');
    socket.end('GET http://%@x/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    socket.resume();
    await until(() => counted.length === 1, { what: 'the request to be counted' });
    assert.deepEqual(counted, ['none']);
    socket.destroy();
    server.close();
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Attempt, createUpstreamClient, type UpstreamClient, type UpstreamClientOptions } from '../../src/upstream/client.ts';
import { freePort } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';
import { httpAnswer, startRawServer } from './raw-server.ts';

const never = new AbortController().signal;

function client(url: string | string[], changes: Partial<UpstreamClientOptions> = {}): UpstreamClient & AsyncDisposable {
  const made = createUpstreamClient({
    baseUrls: [url].flat(),
    apiKey: null,
    headers: {},
    requestTimeoutMs: 10_000,
    totalTimeoutMs: 20_000,
    maxResponseBytes: 1_000_000,
    connections: 8,
    ...changes,
  });
  return { ...made, [Symbol.asyncDispose]: async () => await made.close() };
}

async function send(to: UpstreamClient, body = '{"model":"m"}', signal = never): Promise<Attempt> {
  return await to.send({ endpoint: '/v1/chat/completions', body: Buffer.from(body), idempotencyKey: 'key-1' }, signal);
}

/** What one request becomes when the server answers with these bytes. */
async function attemptAt(answer: Buffer, changes: Partial<UpstreamClientOptions> = {}): Promise<Attempt> {
  await using server = await startRawServer((socket) => socket.write(answer));
  await using upstream = client(server.url, changes);
  return await send(upstream);
}

function assertFault(attempt: Attempt, code: string, status: number | null = null): void {
  assert.equal(attempt.kind, 'fault');
  assert.deepEqual([attempt.code, attempt.answer?.status ?? null], [code, status]);
}

function assertAnswer(attempt: Attempt, status: number): void {
  assert.deepEqual([attempt.kind, 'status' in attempt && attempt.status], ['answer', status]);
}

describe('what the client sends', () => {
  it('sends the exact bytes of the body and hands back the exact bytes of the answer', async () => {
    const body = '{"seed":9223372036854775807,"x":1.0,"__proto__":{"a":1},"é":"\\u00e9 \u2028"}';
    const answer = '{ "b" : 1.00,\n"a":"\\u00fc" }\n';
    await using server = await startRawServer((socket) => socket.write(httpAnswer(200, answer, { 'X-Request-Id': 'req-7' })));
    await using upstream = client(server.url);
    const attempt = await send(upstream, body);
    assert.equal(attempt.kind, 'answer');
    assert.equal(attempt.body.toString(), answer);
    assert.equal(attempt.requestId, 'req-7');
    const [request = ''] = server.requests;
    assert.equal(Buffer.from(request.slice(request.indexOf('\r\n\r\n') + 4), 'latin1').toString(), body);
  });

  it('sends the configured key and headers, the idempotency key and no wish for an encoding', async () => {
    await using server = await startRawServer((socket) => socket.write(httpAnswer(200)));
    await using upstream = client(server.url, { apiKey: 'sk-secret', headers: { 'X-Team': 'night', 'Content-Type': 'text/plain' } });
    await send(upstream);
    const [request = ''] = server.requests;
    for (const line of [
      'authorization: Bearer sk-secret',
      'x-team: night',
      'content-type: application/json',
      'accept-encoding: identity',
      'idempotency-key: key-1',
    ]) {
      assert.ok(request.includes(`\r\n${line}\r\n`), line);
    }
    assert.ok(!request.includes('text/plain'));
  });

  it('rejects what cannot be sent at all, so that nobody takes it for an answer or an absence', async () => {
    await using server = await startRawServer((socket) => socket.write(httpAnswer(200)));
    for (const headers of [{ 'x-team': 'a\nb' }, { 'transfer-encoding': 'chunked' }, { expect: 'miracles' }, { 'content-length': '1' }]) {
      await using upstream = client(server.url, { headers });
      await assert.rejects(send(upstream), /header|expect|content-length/i);
    }
    assert.deepEqual(server.requests, []);
  });

  it('joins the endpoint to the base URL as an SDK does', async () => {
    await using server = await startRawServer((socket) => socket.write(httpAnswer(200)));
    for (const path of ['', '/v1/', '/api/paas/v4', '/openai/deployments/d?api-version=x']) {
      await using upstream = client(server.url + path);
      await send(upstream);
    }
    const paths = server.requests.map((request) => request.split(' ')[1]);
    assert.deepEqual(paths, [
      '/v1/chat/completions',
      '/v1/chat/completions',
      '/api/paas/v4/chat/completions',
      '/openai/deployments/d/chat/completions?api-version=x',
    ]);
  });

  it('sends the user and password of a base URL as a header and never shows them', async () => {
    await using server = await startRawServer((socket) => socket.write(httpAnswer(200)));
    await using upstream = client(server.url.replace('//', '//me:pass%21@'));
    await send(upstream);
    assert.ok(server.requests[0]?.includes(`authorization: Basic ${Buffer.from('me:pass!').toString('base64')}`));
    const port = await freePort();
    await using away = client(`http://me:hidden@127.0.0.1:${port}`);
    const attempt = await send(away);
    assert.ok(!JSON.stringify(attempt).includes('hidden'));
  });
});

describe('an answer with a status', () => {
  it('is an answer when it is 2xx with a JSON object, with the usage it reports', async () => {
    const attempt = await attemptAt(httpAnswer(200, '{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}'));
    assert.equal(attempt.kind, 'answer');
    assert.equal(attempt.usage?.total_tokens, 7);
    assert.ok(attempt.ms > 0);
  });

  it('is an answer when no repeat can cure it', async () => {
    for (const status of [400, 401, 404, 409, 413, 422, 499, 600])
      assertAnswer(await attemptAt(httpAnswer(status, 'no JSON at all')), status);
  });

  it('is a refusal when it is 429, 503 or 529', async () => {
    for (const status of [429, 503, 529]) {
      const attempt = await attemptAt(httpAnswer(status, '{"error":{}}'));
      assert.deepEqual(
        [attempt.kind, 'status' in attempt && attempt.status, 'retryAfterMs' in attempt && attempt.retryAfterMs],
        ['refusal', status, null],
      );
    }
  });

  it('is a fault that keeps the answer when it is 408 or another 5xx', async () => {
    for (const status of [408, 500, 502, 504, 599]) {
      const attempt = await attemptAt(httpAnswer(status, '<html>'));
      assertFault(attempt, 'server_error', status);
      assert.equal(attempt.kind === 'fault' && attempt.answer?.body.toString(), '<html>');
    }
  });

  it('is a malformed answer when it is a redirect, which is not followed', async () => {
    await using server = await startRawServer((socket) => socket.write(httpAnswer(302, '{}', { Location: '/elsewhere' })));
    await using upstream = client(server.url);
    assertFault(await send(upstream), 'invalid_response');
    assert.equal(server.requests.length, 1);
  });

  it('is a malformed answer when it is 204', async () => {
    assertFault(await attemptAt(Buffer.from('HTTP/1.1 204 No Content\r\n\r\n')), 'invalid_response');
  });

  it('is a malformed answer when a 2xx has no JSON object in valid UTF-8', async () => {
    for (const body of [
      '',
      ' ',
      '[]',
      '"text"',
      'null',
      '{"cut":',
      '<html></html>',
      Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    ]) {
      assertFault(await attemptAt(httpAnswer(200, body)), 'invalid_response');
    }
  });

  it('is decoded when it comes compressed though nobody asked for it', async () => {
    const attempt = await attemptAt(httpAnswer(200, gzipSync('{"a":1}'), { 'Content-Encoding': 'gzip' }));
    assert.equal(attempt.kind === 'answer' && attempt.body.toString(), '{"a":1}');
    assertFault(await attemptAt(httpAnswer(200, 'not gzip', { 'Content-Encoding': 'gzip' })), 'invalid_response');
  });

  it('is a fault when it is longer than allowed, also once decoded', async () => {
    const long = `{"a":"${'x'.repeat(5000)}"}`;
    assertFault(await attemptAt(httpAnswer(200, long), { maxResponseBytes: 1024 }), 'invalid_response');
    assertFault(
      await attemptAt(httpAnswer(200, gzipSync(long), { 'Content-Encoding': 'gzip' }), { maxResponseBytes: 1024 }),
      'invalid_response',
    );
    assertAnswer(await attemptAt(httpAnswer(200, long), { maxResponseBytes: long.length }), 200);
  });

  it('is malformed when it is not HTTP', async () => {
    assertFault(await attemptAt(Buffer.from('hello there\r\n\r\n')), 'invalid_response');
  });
});

describe('Retry-After', () => {
  const nowMs = Date.UTC(2026, 0, 1);
  const cases: [Record<string, string>, number | null][] = [
    [{ 'Retry-After': '2' }, 2000],
    [{ 'Retry-After': '0.5' }, 500],
    [{ 'Retry-After': 'Thu, 01 Jan 2026 00:00:09 GMT' }, 9000],
    [{ 'Retry-After': 'Wed, 31 Dec 2025 00:00:00 GMT' }, 0],
    [{ 'Retry-After': '30', 'Retry-After-Ms': '120' }, 120],
    [{ 'Retry-After': 'soon' }, null],
    [{ 'Retry-After': '-3' }, null],
  ];
  it('is read as seconds, as a date and as milliseconds', async () => {
    for (const [headers, expected] of cases) {
      const attempt = await attemptAt(httpAnswer(429, '{}', headers), { nowMs: () => nowMs });
      assert.equal(attempt.kind === 'refusal' && attempt.retryAfterMs, expected, JSON.stringify(headers));
    }
  });
});

describe('a connection that fails', () => {
  it('is unavailability when nobody listens', async () => {
    await using upstream = client(`http://127.0.0.1:${await freePort()}`);
    const attempt = await send(upstream);
    assert.deepEqual(attempt, { kind: 'unavailable', message: 'the upstream refuses connections (ECONNREFUSED)' });
  });

  it('is unavailability when the name is not found', async () => {
    await using upstream = client('http://nobody.invalid');
    const attempt = await send(upstream);
    assert.equal(attempt.kind, 'unavailable');
    assert.match(attempt.message, /name of the upstream is not found/);
  });

  it('is a fault when it is reset before the answer on a new connection', async () => {
    await using server = await startRawServer((socket) => socket.resetAndDestroy());
    await using upstream = client(server.url);
    assertFault(await send(upstream), 'connection_error');
    assert.equal(server.requests.length, 1);
  });

  it('is sent once more for free when a reused connection is reset before the answer', async () => {
    await using server = await startRawServer((socket, _, onConnection) =>
      onConnection === 1 ? socket.write(httpAnswer(200)) : socket.resetAndDestroy(),
    );
    await using upstream = client(server.url, { connections: 1 });
    assertAnswer(await send(upstream), 200);
    assertAnswer(await send(upstream), 200);
    assert.deepEqual([server.requests.length, server.connections], [3, 2]);
  });

  it('is sent only once more for free', async () => {
    await using server = await startRawServer((socket, count) => (count === 1 ? socket.write(httpAnswer(200)) : socket.resetAndDestroy()));
    await using upstream = client(server.url, { connections: 1 });
    await send(upstream);
    assertFault(await send(upstream), 'connection_error');
    assert.equal(server.requests.length, 3);
  });

  it('is a fault when a chunked answer ends early', async () => {
    await using server = await startRawServer((socket) =>
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n'),
    );
    await using upstream = client(server.url);
    assertFault(await send(upstream), 'connection_error');
  });

  it('is a fault when it is reset in the middle of the answer, on a reused connection too', async () => {
    await using server = await startRawServer((socket, count) => {
      if (count === 1) return socket.write(httpAnswer(200));
      return socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"half":', () => socket.destroy());
    });
    await using upstream = client(server.url, { connections: 1 });
    await send(upstream);
    assertFault(await send(upstream), 'connection_error');
    assert.equal(server.requests.length, 2);
  });
});

describe('an upstream that takes too long', () => {
  it('times out when no answer begins', async () => {
    await using server = await startRawServer(() => {});
    await using upstream = client(server.url, { requestTimeoutMs: 200 });
    assertFault(await send(upstream), 'request_timeout');
  });

  it('times out when the body falls silent', async () => {
    await using server = await startRawServer((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{'));
    await using upstream = client(server.url, { requestTimeoutMs: 200 });
    assertFault(await send(upstream), 'request_timeout');
  });

  it('times out as a whole when bytes keep trickling in', async () => {
    await using server = await startRawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{');
      const timer = setInterval(() => socket.write(' '), 20);
      socket.on('close', () => clearInterval(timer));
    });
    await using upstream = client(server.url, { totalTimeoutMs: 300 });
    assertFault(await send(upstream), 'request_timeout');
  });

  it('ends at once when the caller aborts, and drops the connection', async () => {
    const aborting = new AbortController();
    let closed: Promise<unknown> = Promise.resolve();
    await using server = await startRawServer((socket) => {
      closed = once(socket, 'close');
      aborting.abort();
    });
    await using upstream = client(server.url);
    assert.deepEqual(await send(upstream, '{}', aborting.signal), { kind: 'aborted' });
    await closed;
    assert.deepEqual(await send(upstream, '{}', aborting.signal), { kind: 'aborted' });
    assert.equal(server.requests.length, 1);
  });
});

describe('several base URLs', () => {
  it('takes turns', async () => {
    await using first = await startRawServer((socket) => socket.write(httpAnswer(200)));
    await using second = await startRawServer((socket) => socket.write(httpAnswer(200)));
    await using upstream = client([first.url, second.url]);
    for (let count = 0; count < 4; count += 1) await send(upstream);
    assert.deepEqual([first.requests.length, second.requests.length], [2, 2]);
  });

  it('passes over a server that is away and comes back to it later', async () => {
    let now = 1_000_000;
    const port = await freePort();
    await using there = await startRawServer((socket) => socket.write(httpAnswer(200)));
    await using upstream = client([`http://127.0.0.1:${port}`, there.url], { monotonicMs: () => now });
    for (let count = 0; count < 4; count += 1) assertAnswer(await send(upstream), 200);
    await using back = await startRawServer((socket) => socket.write(httpAnswer(200)), port);
    for (let count = 0; count < 4; count += 1) await send(upstream);
    assert.equal(back.requests.length, 0);
    now += 6000;
    await until(async () => (await send(upstream), back.requests.length > 0), { what: 'the server that is back to be used' });
  });

  it('is unavailable only when all are', async () => {
    await using upstream = client([`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`]);
    assert.equal((await send(upstream)).kind, 'unavailable');
  });
});

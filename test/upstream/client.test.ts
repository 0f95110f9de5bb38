import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Attempt } from '../../src/domain/attempt.ts';
import { createServerClient, type ServerClient, type ServerClientOptions } from '../../src/upstream/client/client.ts';
import { createRedaction } from '../../src/upstream/client/redact.ts';
import { freePort } from '../helpers/servers.ts';
import { httpAnswer, startRawServer } from './raw-server.ts';

const never = new AbortController().signal;

function client(baseUrl: string, changes: Partial<ServerClientOptions> = {}): ServerClient & AsyncDisposable {
  const { apiKey = null, headers = {} } = changes;
  const made = createServerClient({
    baseUrl,
    apiKey,
    headers,
    requestTimeoutMs: 10_000,
    totalTimeoutMs: 20_000,
    maxResponseBytes: 1_000_000,
    connections: 8,
    redact: createRedaction({ apiKey, headers, urls: [baseUrl] }),
    ...changes,
  });
  return { ...made, [Symbol.asyncDispose]: async () => await made.close() };
}

async function send(to: ServerClient, body = '{"model":"m"}', signal = never, endpoint = '/v1/chat/completions'): Promise<Attempt> {
  const about = { batchId: 'batch', line: 1, attempt: 1 };
  return (await to.send({ endpoint, body: Buffer.from(body), idempotencyKey: 'key-1', about }, signal)).attempt;
}

/** What one request becomes when the server answers with these bytes. */
async function attemptAt(answer: Buffer, changes: Partial<ServerClientOptions> = {}, endpoint?: string): Promise<Attempt> {
  await using server = await startRawServer((socket) => socket.write(answer));
  await using upstream = client(server.url, changes);
  return await send(upstream, undefined, never, endpoint);
}

function assertFailed(attempt: Attempt, code: string, status: number | null = null): void {
  assert.equal(attempt.kind, 'failed', JSON.stringify(attempt));
  assert.deepEqual([attempt.code, attempt.answer?.status ?? null], [code, status]);
}

const ANSWER = '{"choices":[]}';

describe('what the client sends', () => {
  it('sends the exact bytes of the body and hands back the exact bytes of the answer', async () => {
    const body = '{"seed":9223372036854775807,"x":1.0,"__proto__":{"a":1},"é":"\\u00e9 \u2028"}';
    const answer = '{ "choices" : [1.00],\n"a":"\\u00fc" }\n';
    await using server = await startRawServer((socket) => socket.write(httpAnswer(200, answer, { 'X-Request-Id': 'req-7' })));
    await using upstream = client(server.url);
    const attempt = await send(upstream, body);
    assert.equal(attempt.kind, 'answered');
    assert.equal(attempt.answer.body.toString(), answer);
    assert.equal(attempt.answer.requestId, 'req-7');
    const [request = ''] = server.requests;
    assert.equal(Buffer.from(request.slice(request.indexOf('\r\n\r\n') + 4), 'latin1').toString(), body);
  });

  it('sends the configured key and headers, the idempotency key and no wish for an encoding', async () => {
    await using server = await startRawServer((socket) => socket.write(httpAnswer(200, ANSWER)));
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
    await using server = await startRawServer((socket) => socket.write(httpAnswer(200, ANSWER)));
    for (const headers of [{ 'x-team': 'a\nb' }, { 'transfer-encoding': 'chunked' }, { expect: 'miracles' }, { 'content-length': '1' }]) {
      await using upstream = client(server.url, { headers });
      await assert.rejects(send(upstream), /header|expect|content-length/i);
    }
    assert.deepEqual(server.requests, []);
  });

  it('joins the endpoint to the base URL as an SDK does', async () => {
    await using server = await startRawServer((socket) => socket.write(httpAnswer(200, ANSWER)));
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
    await using server = await startRawServer((socket) => socket.write(httpAnswer(200, ANSWER)));
    await using upstream = client(server.url.replace('//', '//me:pass%21@'));
    await send(upstream);
    assert.ok(server.requests[0]?.includes(`authorization: Basic ${Buffer.from('me:pass!').toString('base64')}`));
    const port = await freePort();
    await using away = client(`http://me:hidden@127.0.0.1:${port}`);
    const attempt = await send(away);
    assert.ok(!JSON.stringify(attempt).includes('hidden'));
  });
});

describe('an answer', () => {
  it('is answered when it is 2xx with a JSON object, with the usage it reports', async () => {
    await using server = await startRawServer((socket) =>
      socket.write(httpAnswer(200, '{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}')),
    );
    await using upstream = client(server.url);
    const about = { batchId: 'batch', line: 1, attempt: 1 };
    const { attempt, ms } = await upstream.send(
      { endpoint: '/v1/chat/completions', body: Buffer.from('{}'), idempotencyKey: 'a', about },
      never,
    );
    assert.equal(attempt.kind === 'answered' && attempt.usage?.total_tokens, 7);
    assert.ok(ms > 0);
  });

  const error = (code: unknown = null, message = 'No.') => JSON.stringify({ error: { message, type: 'invalid_request_error', code } });
  const statuses: [string, Attempt['kind'], (number | [number, string])[]][] = [
    ['asks for nothing that a repeat could cure', 'rejected', [400, 406, 413, 415, 422, 451, 499, [404, error()]]],
    ['says that the server does not want it now', 'refused', [429, 503, 529]],
    ['says that the server failed', 'failed', [408, 409, 424, 425, 500, 501, 502, 504, 520, 524, 530, 599, 600]],
    [
      'says that the server does not let us in',
      'denied',
      [401, 402, 403, 407, [404, '<html>default backend</html>'], [404, error('model_not_found')], [429, error('insufficient_quota')]],
    ],
  ];
  for (const [what, kind, cases] of statuses) {
    it(`is ${kind} when its status ${what}`, async () => {
      for (const each of cases) {
        const [status, body] = typeof each === 'number' ? [each, '<html>words</html>'] : each;
        const attempt = await attemptAt(httpAnswer(status, body));
        assert.equal(attempt.kind, kind, `${status} ${body}`);
        assert.ok('answer' in attempt && attempt.answer?.status === status && attempt.answer.body.toString() === body);
        if (kind !== 'rejected')
          assert.ok('message' in attempt && attempt.message.startsWith(`status ${status}: "`), JSON.stringify(attempt));
      }
    });
  }

  it('is denied when it is a redirect, which is not followed, and says where it leads without a key', async () => {
    await using server = await startRawServer((socket) =>
      socket.write(httpAnswer(302, '{}', { Location: 'https://elsewhere.example/v1?key=sk-very-secret' })),
    );
    await using upstream = client(server.url, { apiKey: 'sk-very-secret' });
    const attempt = await send(upstream);
    assert.equal(attempt.kind, 'denied');
    assert.match(attempt.message, /redirect \(status 302\) to https:\/\/elsewhere\.example\/v1\?key=\*\*\*/);
    assert.equal(server.requests.length, 1);
  });

  it('cannot be used when a 2xx has no JSON object in valid UTF-8, which repeats hardly cure, and shows what came', async () => {
    const bodies = ['', ' ', '[]', '"text"', 'null', '{"cut":', 'data: {"choices":[]}\n\ndata: [DONE]\n', '{"a":1}\n{"a":2}', '{"a":NaN}'];
    for (const body of [...bodies, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]) {
      const attempt = await attemptAt(httpAnswer(200, body, { 'Content-Type': 'text/html' }));
      assertFailed(attempt, 'invalid_response');
      assert.ok(attempt.kind === 'failed' && !attempt.isCurable);
    }
    assertFailed(await attemptAt(Buffer.from('HTTP/1.1 204 No Content\r\n\r\n')), 'invalid_response');
    const page = await attemptAt(httpAnswer(200, `<html>login ${'x'.repeat(3000)}`, { 'Content-Type': 'text/html' }));
    assert.ok(
      page.kind === 'failed' && /status 200, content type text\/html .*"<html>login x{1900}/.test(page.message),
      JSON.stringify(page),
    );
    assert.ok(page.kind === 'failed' && page.message.length < 2200);
  });

  const carried: [string, Attempt['kind'], number | null][] = [
    ['{"error":{"code":429,"message":"slow"}}', 'refused', 200],
    ['{"error":{"code":"503","message":"busy"},"choices":null}', 'refused', 200],
    ['{"error":{"code":502,"message":"Provider returned error"}}', 'failed', 200],
    ['{"error":"text"}', 'failed', 200],
    ['{"object":"error","message":"gone","code":500}', 'failed', 200],
    ['{"error":{"code":401,"message":"key"}}', 'denied', 200],
    ['{"error":{"code":400,"message":"bad"}}', 'rejected', 200],
    ['{"detail":"Not Found"}', 'failed', 200],
    ['{}', 'failed', 200],
    ['{"choices":null}', 'failed', 200],
    ['{"choices":[{"finish_reason":"error","error":{"code":502,"message":"cut"}}]}', 'failed', 200],
    ['{"error":null,"choices":[]}', 'answered', 200],
    ['{"error":{"message":"beside a result"},"choices":[{}]}', 'answered', 200],
    ['{"text":"a dialect"}', 'answered', 200],
  ];
  it('means what the error in a 2xx says', async () => {
    for (const [body, kind, status] of carried) {
      const attempt = await attemptAt(httpAnswer(200, body));
      assert.deepEqual([attempt.kind, 'answer' in attempt && attempt.answer?.status], [kind, status], body);
    }
  });

  it('fails when a response object has no answer', async () => {
    const responses: [string, Attempt['kind']][] = [
      ['{"object":"response","status":"completed","error":null,"output":[]}', 'answered'],
      ['{"object":"response","status":"incomplete","error":null,"output":[{}]}', 'answered'],
      ['{"object":"response","status":"failed","error":{"code":"server_error","message":"m"},"output":[]}', 'failed'],
      ['{"object":"response","status":"failed","error":{"code":"rate_limit_exceeded","message":"m"},"output":[]}', 'refused'],
      ['{"object":"response","status":"queued","error":null,"output":[]}', 'failed'],
      ['{"object":"response","status":"in_progress","output":[]}', 'failed'],
      ['{"object":"response","status":"cancelled","output":[]}', 'failed'],
    ];
    for (const [body, kind] of responses) assert.equal((await attemptAt(httpAnswer(200, body), {}, '/v1/responses')).kind, kind, body);
  });

  it("follows the server's own word on repeats", async () => {
    assert.equal((await attemptAt(httpAnswer(400, '{}', { 'x-should-retry': 'true' }))).kind, 'failed');
    const attempt = await attemptAt(httpAnswer(500, '{}', { 'x-should-retry': 'false' }));
    assert.ok(attempt.kind === 'failed' && !attempt.isCurable);
  });

  it('is decoded when it comes compressed though nobody asked for it', async () => {
    for (const encoding of ['gzip', 'x-gzip', 'GZIP']) {
      const attempt = await attemptAt(httpAnswer(200, gzipSync(ANSWER), { 'Content-Encoding': encoding }));
      assert.equal(attempt.kind === 'answered' && attempt.answer.body.toString(), ANSWER);
    }
    assertFailed(await attemptAt(httpAnswer(200, 'not gzip', { 'Content-Encoding': 'gzip' })), 'invalid_response');
    const unknown = await attemptAt(httpAnswer(200, ANSWER, { 'Content-Encoding': 'snappy' }));
    assert.ok(unknown.kind === 'failed' && unknown.message.includes('content encoding "snappy"'));
  });

  it('is a fault when it is longer than allowed, also once decoded', async () => {
    const long = `{"choices":"${'x'.repeat(5000)}"}`;
    assertFailed(await attemptAt(httpAnswer(200, long), { maxResponseBytes: 1024 }), 'invalid_response');
    assertFailed(
      await attemptAt(httpAnswer(200, gzipSync(long), { 'Content-Encoding': 'gzip' }), { maxResponseBytes: 1024 }),
      'invalid_response',
    );
    assert.equal((await attemptAt(httpAnswer(200, long), { maxResponseBytes: long.length })).kind, 'answered');
  });

  it('is malformed when it is not HTTP', async () => {
    assertFailed(await attemptAt(Buffer.from('hello there\r\n\r\n')), 'invalid_response');
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
      assert.equal(attempt.kind === 'refused' && attempt.retryAfterMs, expected, JSON.stringify(headers));
    }
  });
});

describe('a connection that fails', () => {
  it('is unavailability when nobody listens', async () => {
    await using upstream = client(`http://127.0.0.1:${await freePort()}`);
    const attempt = await send(upstream);
    assert.deepEqual([attempt.kind, 'message' in attempt && attempt.message.includes('ECONNREFUSED')], ['away', true]);
  });

  it('is unavailability when the name is not found', async () => {
    await using upstream = client('http://nobody.invalid');
    const attempt = await send(upstream);
    assert.equal(attempt.kind, 'away');
    assert.match(attempt.message, /name of the upstream is not found/);
  });

  it('is a fault when it is reset before the answer on a new connection', async () => {
    await using server = await startRawServer((socket) => socket.resetAndDestroy());
    await using upstream = client(server.url);
    assertFailed(await send(upstream), 'connection_error');
    assert.equal(server.requests.length, 1);
  });

  it('is sent once more for free when a reused connection is reset before the answer', async () => {
    await using server = await startRawServer((socket, _, onConnection) =>
      onConnection === 1 ? socket.write(httpAnswer(200, ANSWER)) : socket.resetAndDestroy(),
    );
    await using upstream = client(server.url, { connections: 1 });
    assert.equal((await send(upstream)).kind, 'answered');
    assert.equal((await send(upstream)).kind, 'answered');
    assert.deepEqual([server.requests.length, server.connections], [3, 2]);
  });

  it('is sent only once more for free', async () => {
    await using server = await startRawServer((socket, count) =>
      count === 1 ? socket.write(httpAnswer(200, ANSWER)) : socket.resetAndDestroy(),
    );
    await using upstream = client(server.url, { connections: 1 });
    await send(upstream);
    assertFailed(await send(upstream), 'connection_error');
    assert.equal(server.requests.length, 3);
  });

  it('is a fault when a chunked answer ends early', async () => {
    await using server = await startRawServer((socket) =>
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n'),
    );
    await using upstream = client(server.url);
    assertFailed(await send(upstream), 'connection_error');
  });

  it('is a fault when it is reset in the middle of the answer, on a reused connection too', async () => {
    await using server = await startRawServer((socket, count) => {
      if (count === 1) return socket.write(httpAnswer(200, ANSWER));
      return socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"half":', () => socket.destroy());
    });
    await using upstream = client(server.url, { connections: 1 });
    await send(upstream);
    assertFailed(await send(upstream), 'connection_error');
    assert.equal(server.requests.length, 2);
  });
});

describe('an upstream that takes too long', () => {
  it('times out when no answer begins', async () => {
    await using server = await startRawServer(() => {});
    await using upstream = client(server.url, { requestTimeoutMs: 200 });
    assertFailed(await send(upstream), 'request_timeout');
  });

  it('times out when the body falls silent', async () => {
    await using server = await startRawServer((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{'));
    await using upstream = client(server.url, { requestTimeoutMs: 200 });
    assertFailed(await send(upstream), 'request_timeout');
  });

  it('times out as a whole when bytes keep trickling in', async () => {
    await using server = await startRawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{');
      const timer = setInterval(() => socket.write(' '), 20);
      socket.on('close', () => clearInterval(timer));
    });
    await using upstream = client(server.url, { totalTimeoutMs: 300 });
    assertFailed(await send(upstream), 'request_timeout');
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

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../helpers/until.ts';
import { openPool } from './pool.ts';
import { httpAnswer, startRawServer } from './raw-server.ts';

/** What one request ends in when the server answers with these bytes and then closes the connection. */
async function exchangeAt(answer: string | Buffer) {
  await using server = await startRawServer((socket) => void socket.end(answer));
  await using pool = openPool(server.url);
  return await pool.post();
}

describe('a reset on a connection that was used before', () => {
  it('is repeated once for free on a fresh connection, when it comes at once', async () => {
    await using server = await startRawServer((socket, _, onConnection) =>
      onConnection === 1 ? socket.write(httpAnswer(200)) : socket.resetAndDestroy(),
    );
    await using pool = openPool(server.url);
    // Two connections that have carried a request: the repeat must use neither.
    await Promise.all([pool.post(), pool.post()]);
    assert.equal(server.connections, 2);
    const exchange = await pool.post();
    assert.deepEqual([exchange.kind, server.requests.length, server.connections], ['answered', 4, 3]);
  });

  it('is not repeated a second time', async () => {
    await using server = await startRawServer((socket, count) => (count === 1 ? socket.write(httpAnswer(200)) : socket.resetAndDestroy()));
    await using pool = openPool(server.url);
    await pool.post();
    assert.deepEqual([(await pool.post()).kind, server.requests.length], ['reset', 3]);
  });

  it('is not repeated when the server may have worked on the request for more than a second', async () => {
    await using server = await startRawServer((socket, count) => {
      if (count === 1) socket.write(httpAnswer(200));
      else setTimeout(() => socket.resetAndDestroy(), 1500);
    });
    await using pool = openPool(server.url);
    await pool.post();
    assert.deepEqual([(await pool.post()).kind, server.requests.length], ['reset', 2]);
  });
});

describe('an answer that is not valid HTTP', () => {
  const cases: readonly [what: string, answer: string, kind: string, words: RegExp][] = [
    ['two different lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}', 'malformed', /Content-Length/],
    ['the same length twice', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}', 'malformed', /Content-Length/],
    ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}', 'malformed', /Content-Length/],
    [
      'a length before chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
      'malformed',
      /Content-Length/,
    ],
    [
      'chunks before a length',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
      'malformed',
      /Content-Length/,
    ],
    [
      'a transfer encoding that is not chunked',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n{}',
      'malformed',
      /transfer encoding "gzip"/,
    ],
    ['no HTTP at all', 'hello there\r\n\r\n', 'malformed', /not HTTP/],
    ['headers without end', `HTTP/1.1 200 OK\r\nX-A: ${'x'.repeat(20_000)}\r\n\r\n{}`, 'malformed', /16 KiB/],
    ['a body shorter than its length', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}', 'reset', /after 2 bytes/],
    ['a short body, closed', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{}', 'reset', /after 2 bytes/],
    ['chunks without end', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n', 'reset', /after 2 bytes/],
    ['nothing', '', 'reset', /without an answer/],
  ];

  it('has the kind and the words of what is wrong', async () => {
    for (const [what, answer, kind, words] of cases) {
      const exchange = await exchangeAt(answer);
      assert.equal(exchange.kind, kind, `${what}: ${JSON.stringify(exchange)}`);
      assert.match('message' in exchange ? exchange.message : '', words, what);
    }
  });

  it('says so when the server speaks TLS and was asked in plain HTTP', async () => {
    const alert = Buffer.from([0x15, 0x03, 0x03, 0, 2, 2, 70]);
    const exchange = await exchangeAt(alert);
    assert.equal(exchange.kind, 'malformed');
    assert.match(exchange.message, /speaks TLS .*: use https:\/\//);
  });

  it('ends at once when its length is more than allowed', async () => {
    await using server = await startRawServer((socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n{'));
    await using pool = openPool(server.url);
    const exchange = await pool.post();
    assert.equal(exchange.kind, 'too_large');
    assert.match(exchange.message, /longer than 1000000 bytes/);
  });
});

describe('the time of an exchange', () => {
  it('begins when the request is written, not while it waits for a connection', async () => {
    await using server = await startRawServer((socket) => void setTimeout(() => socket.write(httpAnswer(200)), 300));
    await using pool = openPool(server.url, { connections: 1 });
    const times = (await Promise.all([pool.post(), pool.post(), pool.post()])).map((exchange) => ('ms' in exchange ? exchange.ms : 0));
    for (const ms of times) assert.ok(ms >= 250 && ms < 550, `${ms}`);
  });

  it('does not include a wait for a connection without end', async () => {
    await using server = await startRawServer(() => undefined);
    await using pool = openPool(server.url, { connections: 1, requestTimeoutMs: 400, totalTimeoutMs: 60_000 });
    const hanging = pool.post({ patience: 20 });
    await until(() => server.requests.length === 1, { what: 'the first request' });
    const exchange = await pool.post();
    assert.equal(exchange.kind, 'not_connected');
    assert.deepEqual(exchange.cause, { class: 'timeout', code: 'NO_FREE_CONNECTION' });
    await pool[Symbol.asyncDispose]();
    assert.deepEqual(await hanging, { kind: 'aborted' });
  });

  it('may be longer for a request that is given patience', async () => {
    await using server = await startRawServer((socket) => void setTimeout(() => socket.write(httpAnswer(200)), 1500));
    await using pool = openPool(server.url, { requestTimeoutMs: 400, totalTimeoutMs: 800 });
    assert.equal((await pool.post()).kind, 'timeout');
    assert.equal((await pool.post({ patience: 10 })).kind, 'answered');
  });
});

describe('onBytes', () => {
  it('hears of every byte, and holds the answer up while its promise is pending', async () => {
    const body = Buffer.alloc(8_000_000, 'x');
    await using server = await startRawServer((socket) => void socket.write(httpAnswer(200, body)));
    await using pool = openPool(server.url, { maxResponseBytes: body.length, requestTimeoutMs: 300, totalTimeoutMs: 600 });
    let heard = 0;
    let go: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (go = resolve));
    const exchange = pool.post({
      onBytes(bytes) {
        heard += bytes;
        return heard > 1_000_000 ? gate : undefined;
      },
    });
    await until(() => heard > 1_000_000, { what: 'the first megabyte' });
    const before = heard;
    // Longer than all timeouts: they do not run meanwhile.
    await delay(1500);
    assert.equal(heard, before);
    go();
    const answered = await exchange;
    assert.equal(answered.kind, 'answered');
    assert.equal(heard, body.length);
    assert.ok(answered.body.equals(body));
    assert.ok(answered.ms < 600, `${answered.ms}`);
  });

  it('ends the exchange when its promise is rejected', async () => {
    await using server = await startRawServer((socket) => void socket.write(httpAnswer(200)));
    await using pool = openPool(server.url);
    const exchange = await pool.post({ onBytes: async () => await Promise.reject(new Error('no memory')) });
    assert.deepEqual(exchange, { kind: 'aborted' });
  });

  it('does not keep the caller from ending the exchange', async () => {
    const aborting = new AbortController();
    await using server = await startRawServer((socket) => void socket.write(httpAnswer(200, Buffer.alloc(500_000))));
    await using pool = openPool(server.url);
    const never = new Promise<void>(() => undefined);
    const exchange = pool.post({ onBytes: () => (setImmediate(() => aborting.abort()), never) }, aborting.signal);
    assert.deepEqual(await exchange, { kind: 'aborted' });
  });
});

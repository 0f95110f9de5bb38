import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { type ExampleUpstream, startExampleUpstream } from '../../examples/upstream.ts';
import { createUpstreams, type UpstreamOptions } from '../../src/upstream/create-upstreams.ts';
import type { Upstream, UpstreamRules } from '../../src/upstream/routes.ts';
import { type SendOptions, type SendResult, type SendState, sendUntilDone } from '../../src/upstream/send-request.ts';
import { freePort } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';
import { httpAnswer, startRawServer } from './raw-server.ts';

let server: ExampleUpstream;
const open: Upstream[] = [];

before(async () => (server = await startExampleUpstream({ retryAfter: 0.01 })));
after(async () => await server.close());
afterEach(async () => {
  for (const upstream of open.splice(0)) await upstream.client.close();
  server.reset();
});

function upstreamAt(url: string, changes: Partial<UpstreamOptions> = {}, rules: Partial<UpstreamRules> = {}): Upstream {
  const options: UpstreamOptions = {
    name: 'u',
    baseUrls: [url],
    aliases: {},
    add: {},
    maxInFlight: 8,
    limiter: 'adaptive',
    requestsPerMinute: null,
    tokensPerMinute: null,
    requestTimeoutMs: 10_000,
    maxResponseBytes: 1_000_000,
    maxFaults: 5,
    maxRefusals: 20,
    unavailableMaxMs: null,
    ...changes,
  };
  const made = createUpstreams([options], { u: { apiKey: 'sk-night', headers: {} } }).get('u');
  if (made === undefined) throw new Error('no upstream');
  const upstream: Upstream = { ...made, rules: { ...made.rules, refusalBackoffMs: 5, ...rules } };
  open.push(upstream);
  return upstream;
}

interface Sending {
  script?: string;
  key?: string;
  batchId?: string;
  states?: SendState[];
}

function send(
  upstream: Upstream,
  { script = '', key = 'r1', batchId = 'batch_1', states = [] }: Sending = {},
  changes: Partial<SendOptions> = {},
): Promise<SendResult> {
  const body = Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: key }], user: `marker=${key}; ${script}` }));
  return sendUntilDone({
    upstream,
    batchId,
    requestKey: key,
    request: { endpoint: '/v1/chat/completions', body, idempotencyKey: `id-${key}` },
    signal: new AbortController().signal,
    stopSending: new AbortController().signal,
    faults: 0,
    onState: (state) => void states.push(state),
    isPaced: false,
    ...changes,
  });
}

function calls(key = 'r1'): number {
  return server.calls.get(key)?.length ?? 0;
}

function assertAnswered(result: SendResult, status: number): void {
  assert.equal(result.kind, 'outcome');
  assert.equal(result.outcome.kind, 'answered', JSON.stringify(result.outcome));
  assert.equal(result.outcome.status, status);
}

function assertErrored(result: SendResult, code: string): void {
  assert.equal(result.kind, 'outcome');
  assert.deepEqual([result.outcome.kind, 'code' in result.outcome && result.outcome.code], ['errored', code]);
}

describe('sendUntilDone', () => {
  it('answers the outcome with its usage, and says that it sends', async () => {
    const states: SendState[] = [];
    const result = await send(upstreamAt(server.url), { states });
    assertAnswered(result, 200);
    assert.equal(result.kind === 'outcome' && result.outcome.kind === 'answered' && (result.outcome.usage?.total_tokens ?? 0) > 0, true);
    assert.deepEqual(states, [{ state: 'sent' }]);
  });

  it('takes any other 4xx as the outcome at once', async () => {
    assertAnswered(await send(upstreamAt(server.url), { script: 'status=422,200' }), 422);
    assert.equal(calls(), 1);
  });

  it('waits out refusals and sends the same bytes with the same key again', async () => {
    const states: SendState[] = [];
    assertAnswered(await send(upstreamAt(server.url), { script: 'status=429,503,529,200', states }), 200);
    const received = server.calls.get('r1') ?? [];
    assert.equal(received.length, 4);
    assert.deepEqual(new Set(received.map(({ idempotencyKey, body }) => `${idempotencyKey} ${body.toString()}`)).size, 1);
    assert.deepEqual(
      states.flatMap((state) => (state.state === 'refused' ? [state.refusals] : [])),
      [1, 2, 3],
    );
  });

  it('takes the last refusal allowed as the outcome, earlier ones counted in', async () => {
    assertAnswered(await send(upstreamAt(server.url), { script: 'status=429' }, { refusals: 17 }), 429);
    assert.equal(calls(), 3);
  });

  it('obeys Retry-After up to a bound', async () => {
    await using slow = await startRawServer((socket, count) =>
      socket.write(count === 1 ? httpAnswer(503, '{}', { 'Retry-After': '3600' }) : httpAnswer(200)),
    );
    const started = performance.now();
    assertAnswered(await send(upstreamAt(slow.url, {}, { maxRetryAfterMs: 100 })), 200);
    const ms = performance.now() - started;
    assert.ok(ms >= 99 && ms < 30_000, `${ms} ms`);
  });

  it('hands back a fault with the count so far', async () => {
    const result = await send(upstreamAt(server.url), { script: 'status=500,200' }, { faults: 2 });
    assert.equal(result.kind, 'fault');
    assert.deepEqual([result.faults, result.code, result.status], [3, 'server_error', 500]);
    assert.equal(calls(), 1);
  });

  it('takes the last fault allowed as the outcome, with status and body', async () => {
    assertAnswered(await send(upstreamAt(server.url), { script: 'status=502' }, { faults: 4 }), 502);
    assertErrored(await send(upstreamAt(server.url), { script: 'mode=malformed', key: 'r2' }, { faults: 4 }), 'invalid_response');
    assertErrored(
      await send(upstreamAt(server.url, { requestTimeoutMs: 100 }), { script: 'mode=hang', key: 'r3' }, { faults: 4 }),
      'request_timeout',
    );
  });

  it('hides the configured key in every answer and in its request id', async () => {
    await using echoing = await startRawServer((socket, count) =>
      socket.write(httpAnswer(count === 1 ? 401 : 200, '{"error":"wrong key sk-night"}')),
    );
    const upstream = upstreamAt(echoing.url);
    const [refused, accepted] = [await send(upstream), await send(upstream)];
    assert.equal(
      refused.kind === 'outcome' && refused.outcome.kind === 'answered' && refused.outcome.body.toString(),
      '{"error":"wrong key ***"}',
    );
    assert.equal(
      accepted.kind === 'outcome' && accepted.outcome.kind === 'answered' && accepted.outcome.body.toString(),
      '{"error":"wrong key ***"}',
    );
  });
});

describe('an upstream that is away', () => {
  it('costs nothing: the request waits, says so, and is answered when it is back', async () => {
    const port = await freePort();
    const states: SendState[] = [];
    const upstream = upstreamAt(`http://127.0.0.1:${port}`);
    const sending = [send(upstream, { states, key: 'a' }), send(upstream, { key: 'b' })];
    const isWaiting = () =>
      states.some((state) => state.state === 'unavailable' && state.sinceMs <= Date.now() && state.reason === 'it cannot be reached');
    await until(isWaiting, { what: 'the request to wait' });
    const back = await startExampleUpstream({ port });
    try {
      for (const result of await Promise.all(sending)) {
        assertAnswered(result, 200);
        assert.equal(result.kind === 'outcome' && result.faults, 0);
      }
    } finally {
      await back.close();
    }
  });

  it('takes one connection that fails while others are answered for nothing: it is sent once more at once', async () => {
    const upstream = upstreamAt(server.url, { maxInFlight: 64, limiter: 'adaptive' });
    assertAnswered(await send(upstream, { key: 'before' }), 200);
    let tries = 0;
    const client: Upstream['client'] = {
      ...upstream.client,
      send: async (...sent) => (tries++ === 0 ? { kind: 'unavailable', message: 'refused' } : await upstream.client.send(...sent)),
    };
    const states: SendState[] = [];
    const result = await send({ ...upstream, client }, { states }, { faults: 4, refusals: 19 });
    assertAnswered(result, 200);
    assert.deepEqual([tries, states, upstream.gate.closed], [2, [{ state: 'sent' }, { state: 'sent' }], null]);
    assert.equal(upstream.limiter.limit, 4);
  });

  it('waits between tries when connections fail again and again while others are answered', async () => {
    const upstream = upstreamAt(server.url);
    let tries = 0;
    const client: Upstream['client'] = {
      ...upstream.client,
      async send(...sent) {
        tries += 1;
        // Somebody else is answered each time.
        upstream.gate.observe('other', { kind: 'answer', ms: 5 });
        return tries < 4 ? { kind: 'unavailable', message: 'refused' } : await upstream.client.send(...sent);
      },
    };
    const states: SendState[] = [];
    assertAnswered(await send({ ...upstream, client }, { states }), 200);
    assert.deepEqual(
      states.map(({ state }) => state),
      ['sent', 'sent', 'unavailable', 'sent', 'unavailable', 'sent'],
    );
  });

  it('is looked for although every place waits for an answer of it', async () => {
    const upstream = upstreamAt(server.url, { maxInFlight: 1, limiter: 'fixed' });
    const aborting = new AbortController();
    const hanging = send(upstream, { key: 'a', script: 'mode=hang' }, { signal: aborting.signal });
    await until(() => calls('a') === 1, { what: 'the first request to arrive' });
    upstream.gate.observe('other', { kind: 'unavailable' });
    assertAnswered(await send(upstream, { key: 'b' }), 200);
    assert.deepEqual([upstream.gate.closed, upstream.limiter.inFlight], [null, 1]);
    aborting.abort();
    assert.deepEqual(await hanging, { kind: 'aborted' });
  });

  it('is for Temporal to send to again where it holds a budget of requests: who waited goes out by a new attempt', async () => {
    const upstream = upstreamAt(server.url);
    upstream.gate.observe('other', { kind: 'unavailable' });
    const paced = { isPaced: true, refusals: 2 };
    const states: SendState[] = [];
    const [probe, waiting] = [send(upstream, { key: 'a' }, paced), send(upstream, { key: 'b', states }, paced)];
    assertAnswered(await probe, 200);
    assert.deepEqual(await waiting, { kind: 'postponed', refusals: 2, status: null, waitMs: 0 });
    assert.deepEqual([states.map(({ state }) => state), calls('b')], [['unavailable'], 0]);
    assertAnswered(await send(upstream, { key: 'c' }, paced), 200);
  });

  it('counts as a refusal there what cost nothing, so that a request which kills its server does not do so for ever', async () => {
    await using dying = await startRawServer((socket) => socket.resetAndDestroy());
    const upstream = upstreamAt(dying.url);
    const attempt = async (key: string, refusals: number) => {
      const sending = send(upstream, { key }, { isPaced: true, refusals });
      const sent = dying.requests.length + 1;
      await until(() => dying.requests.length === sent && upstream.limiter.inFlight === 0, { what: 'the reset' });
      upstream.gate.observe('other', { kind: 'unavailable' });
      const held = upstream.gate.pass('probe', new AbortController().signal);
      if ((await held) === 'probe') upstream.gate.observe('probe', { kind: 'answer', ms: 5 });
      return await sending;
    };
    assert.deepEqual(await attempt('a', 17), { kind: 'postponed', refusals: 18, status: null, waitMs: 0 });
    const last = await send(upstream, { key: 'b' }, { isPaced: true, refusals: 19 });
    assert.deepEqual([last.kind, 'faults' in last && last.faults], ['fault', 1]);
  });

  it('ends waiting requests as connection_error when the patience is over', async () => {
    const upstream = upstreamAt(`http://127.0.0.1:${await freePort()}`, { unavailableMaxMs: 300 });
    for (const result of await Promise.all([send(upstream, { key: 'a' }), send(upstream, { key: 'b' })]))
      assertErrored(result, 'connection_error');
  });

  it('makes a reset free when the gate closes soon after', async () => {
    await using dying = await startRawServer((socket, count) => (count === 1 ? socket.resetAndDestroy() : socket.write(httpAnswer(200))));
    const upstream = upstreamAt(dying.url);
    const sending = send(upstream, { key: 'a' }, { faults: 4 });
    await until(() => dying.requests.length === 1 && upstream.limiter.inFlight === 0, { what: 'the reset' });
    upstream.gate.observe('other', { kind: 'unavailable' });
    const result = await sending;
    assertAnswered(result, 200);
    assert.equal(result.kind === 'outcome' && result.faults, 4);
  });

  it('counts a reset as a fault when the gate stays open', async () => {
    const stopping = new AbortController();
    const upstream = upstreamAt(server.url);
    const sending = send(upstream, { script: 'mode=reset' }, { stopSending: stopping.signal });
    await until(() => calls() === 1 && upstream.limiter.inFlight === 0, { what: 'the reset' });
    // Ends the wait for the gate, which lasts five seconds otherwise.
    stopping.abort();
    const result = await sending;
    assert.deepEqual([result.kind, 'code' in result && result.code, 'faults' in result && result.faults], ['fault', 'connection_error', 1]);
  });

  it('counts nothing that happens to a probe', async () => {
    const upstream = upstreamAt(server.url);
    upstream.gate.observe('other', { kind: 'unavailable' });
    const result = await send(upstream, { script: 'status=503,500,200' }, { faults: 4, refusals: 19 });
    assertAnswered(result, 200);
    assert.equal(calls(), 3);
  });

  it('closes the gate for all when three requests are refused, and probes one by one', async () => {
    const upstream = upstreamAt(server.url);
    server.set({ fail503: 1 });
    const sending = ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => send(upstream, { key }));
    await until(() => upstream.gate.closed !== null, { what: 'the gate to close' });
    server.set({ fail503: 0 });
    for (const result of await Promise.all(sending)) assertAnswered(result, 200);
    assert.equal(upstream.gate.closed, null);
  });
});

describe('stopping', () => {
  it('sends nothing new but lets go on what is in flight', async () => {
    const stopping = new AbortController();
    const upstream = upstreamAt(server.url, { maxInFlight: 1 });
    const inFlight = send(upstream, { key: 'a', script: 'delay=3000' }, { stopSending: stopping.signal });
    await until(() => calls('a') === 1, { what: 'the first request to arrive' });
    const states: SendState[] = [];
    const queued = send(upstream, { key: 'b', states }, { stopSending: stopping.signal, refusals: 3 });
    await until(() => states.some(({ state }) => state === 'waiting'), { what: 'the second to wait' });
    stopping.abort();
    assert.deepEqual(await queued, { kind: 'not_sent', faults: 0, refusals: 3 });
    assertAnswered(await inFlight, 200);
    assert.deepEqual(await send(upstream, { key: 'c' }, { stopSending: stopping.signal }), { kind: 'not_sent', faults: 0, refusals: 0 });
    assert.deepEqual([calls('b'), calls('c'), upstream.limiter.inFlight], [0, 0, 0]);
  });

  it('ends the wait after a refusal and the wait at the gate', async () => {
    const stopping = new AbortController();
    const states: SendState[] = [];
    const refused = send(
      upstreamAt(server.url, {}, { refusalBackoffMs: 60_000 }),
      { states, script: 'status=529' },
      { stopSending: stopping.signal },
    );
    const away = send(upstreamAt(`http://127.0.0.1:${await freePort()}`), { states, key: 'b' }, { stopSending: stopping.signal });
    await until(() => ['refused', 'unavailable'].every((wanted) => states.some(({ state }) => state === wanted)), {
      what: 'both to wait',
    });
    stopping.abort();
    assert.deepEqual(await refused, { kind: 'not_sent', faults: 0, refusals: 1 });
    assert.deepEqual(await away, { kind: 'not_sent', faults: 0, refusals: 0 });
  });

  it('aborts what is in flight when the signal says so', async () => {
    const aborting = new AbortController();
    const upstream = upstreamAt(server.url);
    const sending = send(upstream, { script: 'mode=hang' }, { signal: aborting.signal });
    await until(() => calls() === 1, { what: 'the request to arrive' });
    aborting.abort();
    assert.deepEqual(await sending, { kind: 'aborted' });
    assert.equal(upstream.limiter.inFlight, 0);
  });

  it('answers a refusal when asked to', async () => {
    const upstream = upstreamAt(server.url);
    const refused = await send(upstream, { script: 'status=503' }, { isPaced: true, refusals: 4 });
    assert.deepEqual(refused, { kind: 'postponed', refusals: 5, status: 503, waitMs: 10 });
    assert.equal(calls(), 1);
  });
});

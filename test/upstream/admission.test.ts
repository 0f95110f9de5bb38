import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Attempt } from '../../src/domain/attempt.ts';
import type { Entrant } from '../../src/upstream/admission/entrant.ts';
import { Permit } from '../../src/upstream/admission/permit.ts';
import { type Clocks, createUpstreams, type UpstreamOptions } from '../../src/upstream/create-upstreams.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import { freePort } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';
import { PLAIN_UPSTREAM } from './upstream-options.ts';

const never = new AbortController().signal;
const ANSWER = '{"choices":[]}';

interface Answer {
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  delayMs?: number;
  hangs?: boolean;
}

/** A server that answers each request as `answer` says, by its model and its number. */
async function startServer(answer: (model: string, call: number) => Answer, port = 0) {
  const calls: { model: string; atMs: number }[] = [];
  let inFlight = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => void reply(JSON.parse(Buffer.concat(chunks).toString()).model));
    async function reply(model: string) {
      calls.push({ model, atMs: performance.now() });
      inFlight += 1;
      found.most = Math.max(found.most, inFlight);
      const { status = 200, headers = {}, body = ANSWER, delayMs = 0, hangs = false } = answer(model, calls.length);
      if (hangs) return;
      if (delayMs > 0) await delay(delayMs);
      inFlight -= 1;
      response.writeHead(status, headers);
      response.end(body);
    }
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const found = {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/v1`,
    calls,
    /** Most requests in flight at a time. */
    most: 0,
    of: (model: string) => calls.filter((call) => call.model === model).length,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
  return found;
}

function createUpstream(
  baseUrls: string[],
  changes: Partial<UpstreamOptions> = {},
  clocks: Partial<Clocks> = {},
): Upstream & AsyncDisposable {
  const options: UpstreamOptions = { ...PLAIN_UPSTREAM, baseUrls, ...changes };
  const upstream = createUpstreams([options], {}, undefined, {
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    settleMs: 50,
    ...clocks,
  }).get('example');
  assert.ok(upstream);
  return Object.assign(upstream, { [Symbol.asyncDispose]: async () => await upstream.close() });
}

let keys = 0;
function entrant(changes: Partial<Entrant> = {}): Entrant {
  const requestKey = `request-${(keys += 1)}`;
  return {
    tenant: 't',
    batchId: 'b',
    model: 'm',
    priority: 3,
    rank: 0,
    requestKey,
    faults: 0,
    lastServer: null,
    probes: 0,
    atGate: false,
    ...changes,
  };
}

async function sendWith(permit: Permit, model: string): Promise<Attempt> {
  const body = Buffer.from(JSON.stringify({ model }));
  const about = { batchId: 'b', line: 1, attempt: 1 };
  return await permit.send({ endpoint: '/v1/chat/completions', body, idempotencyKey: 'key', about }, never);
}

/** Sends a request until it has an answer, as lines do, and answers how often it went out. */
async function sendUntilAnswered(upstream: Upstream, of: Partial<Entrant> = {}, signal = never): Promise<number> {
  const line = entrant(of);
  for (let sends = 1; ;) {
    let entry = await upstream.enter(line, signal);
    if (entry === 'closed') {
      line.atGate = true;
      entry = await upstream.enter(line, signal);
    }
    assert.ok(entry instanceof Permit, String(entry));
    const attempt = await sendWith(entry, line.model);
    if (attempt.kind === 'answered') return sends;
    assert.notEqual(attempt.kind, 'aborted');
    sends += 1;
  }
}

async function enterNow(upstream: Upstream, of: Partial<Entrant> = {}): Promise<Permit> {
  const entry = await upstream.enter(entrant(of), never);
  assert.ok(entry instanceof Permit, String(entry));
  return entry;
}

describe('entering', () => {
  it('needs no promise where there is nothing to wait for', async () => {
    await using server = await startServer(() => ({}));
    await using upstream = createUpstream([server.url]);
    const entry = upstream.enter(entrant(), never);
    assert.ok(entry instanceof Permit);
    entry.release();
    assert.equal(upstream.inFlight, 0);
  });

  it('takes nothing of the budget of tokens for permits that are given back', async () => {
    await using server = await startServer(() => ({ body: '{"choices":[],"usage":{"total_tokens":1000}}' }));
    await using upstream = createUpstream([server.url], { tokensPerMinute: 60_000 });
    await sendWith(await enterNow(upstream), 'm');
    for (let count = 0; count < 50; count++) {
      const entry = await upstream.enter(entrant(), AbortSignal.timeout(500));
      assert.ok(entry instanceof Permit);
      entry.release();
    }
  });

  it('waits for a place, the lowest rank of a batch first', async () => {
    await using server = await startServer(() => ({}));
    await using upstream = createUpstream([server.url], { maxInFlight: 1 });
    const first = await enterNow(upstream);
    const order: number[] = [];
    const waiting = [3, 1, 2, 1].map(async (rank) => {
      const permit = await enterNow(upstream, { rank });
      order.push(rank);
      permit.release();
    });
    assert.equal(upstream.waiting, 4);
    assert.deepEqual(upstream.reasonFor({ model: 'm' }), { kind: 'place' });
    first.release();
    await Promise.all(waiting);
    assert.deepEqual(order, [1, 1, 2, 3]);
  });

  it('stops with the signal, and leaves nothing behind', async () => {
    await using server = await startServer(() => ({}));
    await using upstream = createUpstream([server.url], { maxInFlight: 1 });
    const first = await enterNow(upstream);
    const stop = new AbortController();
    const waiting = assert.rejects(Promise.resolve(upstream.enter(entrant(), stop.signal)), { name: 'AbortError' });
    stop.abort();
    await waiting;
    assert.throws(() => upstream.enter(entrant(), stop.signal), { name: 'AbortError' });
    assert.equal(upstream.waiting, 0);
    first.release();
    (await enterNow(upstream)).release();
  });

  it('shares places and not turns: batches whose answers take unlike times have as many in flight each', async () => {
    await using server = await startServer((model) => ({ delayMs: model === 'slow' ? 200 : 2 }));
    await using upstream = createUpstream([server.url], { maxInFlight: 10 });
    const stop = new AbortController();
    const inFlight = { slow: 0, quick: 0 };
    const samples: [number, number][] = [];
    async function keepSending(model: 'slow' | 'quick'): Promise<void> {
      while (!stop.signal.aborted) {
        const permit = await enterNow(upstream, { model, batchId: model });
        inFlight[model] += 1;
        await sendWith(permit, model);
        inFlight[model] -= 1;
      }
    }
    const senders = Array.from({ length: 20 }, () => [keepSending('slow'), keepSending('quick')]).flat();
    for (let sample = 0; sample < 60; sample++) {
      await delay(10);
      if (sample > 20) samples.push([inFlight.slow, inFlight.quick]);
    }
    stop.abort();
    await Promise.all(senders);
    const mean = (of: 0 | 1) => samples.reduce((sum, sample) => sum + sample[of], 0) / samples.length;
    assert.ok(mean(0) < 7 && mean(1) > 3, `${mean(0)} slow and ${mean(1)} quick in flight`);
  });

  it('gives the next place to the tenant with the fewest in flight, however many batches another has', async () => {
    await using server = await startServer(() => ({}));
    await using upstream = createUpstream([server.url], { maxInFlight: 4 });
    const held = await Promise.all([1, 2, 3, 4].map(async (batch) => await enterNow(upstream, { tenant: 'many', batchId: `b${batch}` })));
    const order: string[] = [];
    const waiting = ['many-1', 'many-2', 'many-3', 'single-1', 'single-2'].map(async (name) => {
      const permit = await enterNow(upstream, { tenant: String(name.split('-')[0]), batchId: name });
      order.push(name);
      return permit;
    });
    for (const permit of held.slice(0, 3)) {
      permit.release();
      await delay(1);
    }
    assert.deepEqual(order, ['single-1', 'single-2', 'many-1']);
    held[3]?.release();
    for (const permit of [...(await Promise.all(waiting.slice(0, 1))), ...(await Promise.all(waiting.slice(3)))]) permit.release();
    for (const permit of await Promise.all(waiting.slice(1, 3))) permit.release();
    assert.equal(upstream.inFlight, 0);
  });

  it('gives the next place to the most urgent request, whatever its tenant has in flight', async () => {
    await using server = await startServer(() => ({}));
    await using upstream = createUpstream([server.url], { maxInFlight: 2 });
    const held = [await enterNow(upstream, { tenant: 'busy' }), await enterNow(upstream, { tenant: 'busy' })];
    const order: number[] = [];
    const waiting = [3, 3, 1, 2].map(async (priority) => {
      const permit = await enterNow(upstream, { tenant: priority < 3 ? 'busy' : 'other', priority });
      order.push(priority);
      permit.release();
    });
    for (const permit of held) permit.release();
    await Promise.all(waiting);
    assert.deepEqual(order, [1, 2, 3, 3]);
  });

  it('serves one model at a time until nothing more of it waits, where that is configured', async () => {
    await using server = await startServer(() => ({ delayMs: 2 }));
    await using upstream = createUpstream([server.url], { maxInFlight: 2, oneModelAtATime: true });
    await Promise.all(
      Array.from(
        { length: 40 },
        async (_, at) => await sendUntilAnswered(upstream, { model: at % 2 === 0 ? 'a' : 'b', batchId: at % 2 === 0 ? 'A' : 'B' }),
      ),
    );
    const models = server.calls.map(({ model }) => model);
    const swaps = models.filter((model, at) => at > 0 && model !== models[at - 1]).length;
    assert.equal(swaps, 1, models.join(''));
  });

  it('serves another model while the first one waits for its gate, where one is served at a time', async () => {
    await using server = await startServer((model) => (model === 'a' ? { status: 503 } : { delayMs: 2 }));
    await using upstream = createUpstream([server.url], { maxInFlight: 4, oneModelAtATime: true });
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(5_000)]);
    const ofA = Array.from({ length: 5 }, async () => await sendUntilAnswered(upstream, { model: 'a', batchId: 'A' }, signal));
    const ended = Promise.allSettled(ofA);
    await until(() => upstream.reasonFor({ model: 'a' }).kind === 'gate', { what: 'the gate of a' });
    // Some probes of a go out meanwhile.
    for (let count = 0; count < 60; count++) {
      await Promise.all([1, 2].map(async () => await sendUntilAnswered(upstream, { model: 'b', batchId: 'B' }, signal)));
      await delay(10);
    }
    stop.abort();
    await ended;
    assert.ok(server.of('a') > 5, 'probes of a');
  });
});

describe('a server that fails for everybody', () => {
  const outages: [string, Answer][] = [
    ['502 with a page', { status: 502, body: '<html>Bad Gateway</html>' }],
    ['500', { status: 500, body: '{"error":{"message":"backend away"}}' }],
    ['401', { status: 401, body: '{"error":{"message":"key expired"}}' }],
    ['a 404 of an ingress', { status: 404, body: '<html>default backend - 404</html>' }],
    ['a login page', { body: '<html>login</html>' }],
    ['429', { status: 429 }],
    ['a 200 that carries a 503', { body: '{"error":{"code":503,"message":"no instance"}}' }],
  ];
  for (const [name, outage] of outages) {
    it(`is probed and not flooded while it answers ${name}, and every request is answered afterwards`, async () => {
      let isOut = true;
      await using server = await startServer(() => (isOut ? outage : { delayMs: 5 }));
      await using upstream = createUpstream([server.url], { maxInFlight: 8 });
      const lines = Array.from({ length: 50 }, async () => await sendUntilAnswered(upstream));
      await delay(600);
      const calls = server.calls.length;
      // Two go out again before the third fails, and two are probes.
      assert.ok(calls <= 8 + 4, `${calls} calls during the outage`);
      const reason = upstream.reasonFor({ model: 'm' });
      assert.ok(reason.kind === 'gate' && reason.model === 'm', JSON.stringify(reason));
      isOut = false;
      await Promise.all(lines);
      assert.deepEqual(upstream.closedGates, []);
    });
  }

  it('is told apart from a request that fails alone', async () => {
    await using server = await startServer((model) => (model === 'm' ? {} : { status: 500 }));
    await using upstream = createUpstream([server.url]);
    const alone = await enterNow(upstream, { model: 'broken' });
    assert.equal((await sendWith(alone, 'broken')).kind, 'failed');
    assert.equal(await alone.isShared(never), false);
    const three = await Promise.all([1, 2, 3].map(async () => await enterNow(upstream, { model: 'broken' })));
    await Promise.all(three.map(async (permit) => await sendWith(permit, 'broken')));
    assert.deepEqual(await Promise.all(three.map(async (permit) => await permit.isShared(never))), [true, true, true]);
  });

  it('costs a model that is denied no request while another one is answered', async () => {
    await using server = await startServer((model) => (model === 'a' ? { status: 401, delayMs: 20 } : { delayMs: 1 }));
    await using upstream = createUpstream([server.url], { maxInFlight: 4 }, { settleMs: 2_000 });
    const stop = new AbortController();
    const other = (async () => {
      while (!stop.signal.aborted) await sendUntilAnswered(upstream, { model: 'b', batchId: 'B' });
    })();
    const shared: boolean[] = [];
    for (const permit of await Promise.all([1, 2, 3].map(async () => await enterNow(upstream, { model: 'a', batchId: 'A' })))) {
      assert.equal((await sendWith(permit, 'a')).kind, 'denied');
      void permit.isShared(never).then((isShared) => shared.push(isShared));
    }
    await until(() => shared.length === 3, { what: 'the verdicts' });
    stop.abort();
    await other;
    assert.deepEqual(shared, [true, true, true]);
  });

  it('is probed by requests that never failed by themselves, and counts what others fail as probes', async () => {
    const server = await startServer(() => ({}));
    await using upstream = createUpstream([server.url]);
    const port = Number(new URL(server.url).port);
    await server[Symbol.asyncDispose]();
    assert.equal((await sendWith(await enterNow(upstream), 'm')).kind, 'away');
    await using _poisoned = await startServer(() => ({ status: 500 }), port);
    const order: string[] = [];
    const probe = async (name: string, of: Partial<Entrant>) => {
      const permit = await enterNow(upstream, { ...of, atGate: true });
      assert.ok(permit.isProbe);
      order.push(name);
      await sendWith(permit, 'm');
      return await permit.isShared(never);
    };
    const probes = [probe('failed before', { faults: 1 }), probe('fresh', {})];
    assert.deepEqual(await Promise.all(probes), [false, true]);
    assert.deepEqual(order, ['fresh', 'failed before']);
  });

  it('turns away at once those who do not come to wait, also when it closes while they wait for a place', async () => {
    const server = await startServer(() => ({ delayMs: 20 }));
    await using upstream = createUpstream([server.url], { maxInFlight: 1 });
    const sending = await enterNow(upstream);
    const waiting = upstream.enter(entrant(), never);
    await server[Symbol.asyncDispose]();
    assert.equal((await sendWith(sending, 'm')).kind, 'away');
    assert.equal(await waiting, 'closed');
    assert.equal(upstream.enter(entrant(), never), 'closed');
  });

  it('is given up after the time that is configured', async () => {
    await using upstream = createUpstream([`http://127.0.0.1:${await freePort()}/v1`], { unavailableMaxMs: 300 });
    assert.equal((await sendWith(await enterNow(upstream), 'm')).kind, 'away');
    const entries = await Promise.all([1, 2, 3].map(async () => await upstream.enter(entrant({ atGate: true }), never)));
    for (const entry of entries) if (entry instanceof Permit) entry.release();
    assert.ok(entries.includes('given_up'), JSON.stringify(entries));
    assert.equal(upstream.givenUpMessage, 'the upstream has been unavailable for longer than 0.3 s');
  });
});

describe('one model that is refused', () => {
  it('waits for as long as the server says, and holds up no other model', async () => {
    const allowedMs = performance.now() + 1_200;
    await using server = await startServer((model) =>
      model === 'a' && performance.now() < allowedMs ? { status: 429, headers: { 'retry-after': '1' } } : { delayMs: 20 },
    );
    await using upstream = createUpstream([server.url], { maxInFlight: 4 });
    const ofA = Array.from({ length: 20 }, async () => await sendUntilAnswered(upstream, { model: 'a', batchId: 'A' }));
    await until(() => upstream.reasonFor({ model: 'a' }).kind === 'gate', { what: 'the gate of a' });
    assert.equal(upstream.reasonFor({ model: 'b' }).kind, 'place');
    const sinceMs = performance.now();
    await Promise.all(Array.from({ length: 40 }, async () => await sendUntilAnswered(upstream, { model: 'b', batchId: 'B' })));
    assert.ok(performance.now() - sinceMs < 900, 'b at full speed');
    assert.ok(server.of('a') <= 8, `${server.of('a')} calls of a`);
    await Promise.all(ofA);
  });
});

describe('the hours of an upstream', () => {
  it('hold requests back until they begin, say so, and let no new ones go once they have ended', async () => {
    let nowMs = Date.parse('2026-11-27T17:59:59.700Z');
    const startMs = performance.now() - nowMs;
    await using server = await startServer(() => ({ delayMs: 30 }));
    const changes = { active: ['19:00-07:00 Europe/Berlin'], maxInFlight: 1 };
    await using upstream = createUpstream([server.url], changes, { nowMs: () => Math.max(nowMs, performance.now() - startMs) });
    assert.equal(upstream.enter(entrant(), never), 'closed');
    assert.deepEqual(upstream.reasonFor({ model: 'm' }), { kind: 'hours', until: '19:00 Europe/Berlin' });
    const answered = sendUntilAnswered(upstream);
    assert.equal(server.calls.length, 0);
    await answered;
    const last = await enterNow(upstream);
    const waiting = upstream.enter(entrant(), never);
    nowMs = Date.parse('2026-11-28T07:00:00Z');
    assert.equal((await sendWith(last, 'm')).kind, 'answered');
    assert.equal(await waiting, 'closed');
  });

  it('may set a lower limit', async () => {
    await using server = await startServer(() => ({ delayMs: 20 }));
    const nowMs = () => Date.parse('2026-11-27T10:00:00Z');
    await using upstream = createUpstream([server.url], { maxInFlightByHour: { '08:00-18:00 Europe/Berlin': 2 } }, { nowMs });
    await Promise.all(Array.from({ length: 10 }, async () => await sendUntilAnswered(upstream)));
    assert.equal(server.most, 2);
  });
});

describe('the pause of an upstream', () => {
  it('holds requests back, lets those in flight finish, says so, and ends', async () => {
    await using server = await startServer(() => ({ delayMs: 30 }));
    await using upstream = createUpstream([server.url], { maxInFlight: 1 });
    const inFlight = await enterNow(upstream);
    const waiting = upstream.enter(entrant(), never);
    const pause = { what: 'everything', since: 5 } as const;
    upstream.pause = pause;
    assert.equal(await waiting, 'closed');
    assert.equal((await sendWith(inFlight, 'm')).kind, 'answered');
    assert.deepEqual(upstream.reasonFor({ model: 'm' }), { kind: 'paused', pause });
    const answered = sendUntilAnswered(upstream);
    assert.equal(server.calls.length, 1);
    upstream.pause = null;
    await answered;
    assert.equal(server.calls.length, 2);
  });
});

describe('several servers', () => {
  const lines = 60;
  async function share(bad: Answer | ((call: number) => Answer), changes: Partial<UpstreamOptions> = {}) {
    await using first = await startServer((_, call) => (typeof bad === 'function' ? bad(call) : bad));
    await using second = await startServer(() => ({ delayMs: 10 }));
    await using upstream = createUpstream([first.url, second.url], { maxInFlight: 4, ...changes });
    await Promise.all(Array.from({ length: lines }, async () => await sendUntilAnswered(upstream)));
    return { first: first.calls.length, second: second.calls.length };
  }

  it('share the requests by what they have in flight', async () => {
    const calls = await share({ delayMs: 10 });
    assert.ok(Math.abs(calls.first - calls.second) <= lines / 5, JSON.stringify(calls));
    const unlike = await share({ delayMs: 60 });
    assert.ok(unlike.first < lines / 3, JSON.stringify(unlike));
  });

  for (const [name, bad] of [
    ['500', { status: 500 }],
    ['404', { status: 404, body: '<html>' }],
    ['401', { status: 401 }],
    ['503 with Retry-After', { status: 503, headers: { 'retry-after': '30' } }],
  ] as const) {
    it(`leave out the one that answers ${name}`, async () => {
      const calls = await share(bad);
      assert.ok(calls.first <= 10 && calls.second === lines, JSON.stringify(calls));
    });
  }

  it('do not wait for the one that hangs', async () => {
    const calls = await share({ hangs: true }, { requestTimeoutMs: 400 });
    assert.ok(calls.first <= 8 && calls.second === lines, JSON.stringify(calls));
  });

  it('do not keep a request for its whole timeout on the one that is silent while others answer', async () => {
    await using silent = await startServer(() => ({ hangs: true }));
    await using quick = await startServer(() => ({ delayMs: 5 }));
    await using upstream = createUpstream([silent.url, quick.url], { maxInFlight: 2, requestTimeoutMs: 1_800_000 });
    const sinceMs = performance.now();
    await Promise.all(Array.from({ length: lines }, async () => await sendUntilAnswered(upstream)));
    assert.ok(performance.now() - sinceMs < 12_000);
    assert.equal(quick.calls.length, lines);
    assert.ok(silent.calls.length >= 1 && silent.calls.length <= 4, `${silent.calls.length} calls`);
    assert.equal(upstream.inFlight, 0);
  });

  it('take the repeat of a request that failed at another one', async () => {
    await using first = await startServer(() => ({ status: 500 }));
    await using second = await startServer(() => ({ status: 500 }));
    await using upstream = createUpstream([first.url, second.url]);
    const line = entrant();
    for (let count = 0; count < 4; count++) {
      const entry = await upstream.enter(line, never);
      assert.ok(entry instanceof Permit);
      await sendWith(entry, 'm');
      assert.equal(await entry.isShared(never), false);
    }
    assert.deepEqual([first.calls.length, second.calls.length], [2, 2]);
  });

  it('take a repeat where the request failed when no other one has a free place', async () => {
    await using first = await startServer(() => ({}));
    await using second = await startServer(() => ({ hangs: true }));
    await using upstream = createUpstream([first.url, second.url], { maxInFlight: 1 });
    const line = entrant();
    const permit = await upstream.enter(line, never);
    assert.ok(permit instanceof Permit);
    const hung = await enterNow(upstream);
    const waiting = upstream.enter(line, AbortSignal.timeout(1_000));
    permit.release();
    const again = await waiting;
    assert.ok(again instanceof Permit);
    assert.equal(again.server, permit.server);
    again.release();
    const repeat = upstream.enter(line, never);
    assert.ok(repeat instanceof Permit);
    repeat.release();
    hung.release();
  });

  it('come back one by one when they were away', async () => {
    const port = await freePort();
    await using there = await startServer(() => ({ delayMs: 2 }));
    await using upstream = createUpstream([`http://127.0.0.1:${port}/v1`, there.url]);
    for (let count = 0; count < 10; count++) await sendUntilAnswered(upstream);
    assert.equal(there.calls.length, 10);
    await using back = await startServer(() => ({ delayMs: 2 }), port);
    await until(async () => (await sendUntilAnswered(upstream), back.calls.length > 0), { what: 'the server that is back to be used' });
  });
});

describe('Upstream.follow', () => {
  for (const [says, text, limit] of [
    ['that requests wait', 'llamacpp:requests_processing 1\nllamacpp:requests_deferred 3\n', 2],
    ['nothing of its queue', '<html></html>', 4],
  ] as const)
    it(`leaves ${limit} of 4 places when a server says ${says}`, async () => {
      const asked: (string | undefined)[] = [];
      const server = createServer((request, response) => {
        asked.push(request.url);
        response.end(text);
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      const ending = new AbortController();
      await using upstream = createUpstream([`http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/v1`], {
        limiter: 'adaptive',
      });
      const permits = [];
      for (let place = 0; place < 4; place += 1) permits.push(await enterNow(upstream));
      const following = upstream.follow(ending.signal);
      await until(() => asked.length > 0 && upstream.limit === limit, { what: 'the queue of the server', everyMs: 10 });
      for (const permit of permits) permit.release();
      ending.abort();
      await following;
      assert.deepEqual(asked, ['/metrics']);
      server.close();
      server.closeAllConnections();
    });
});

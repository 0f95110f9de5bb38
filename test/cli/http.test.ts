import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Answer, startFakeApi } from './fake-api.ts';
import { createApiClient } from '../../src/cli/api-client.ts';
import { ApiFault } from '../../src/cli/api-fault.ts';
import { createHttp, type Http } from '../../src/cli/http.ts';
import { retryAfterMs } from '../../src/cli/retry-after.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';

/** Calls an API that gives these answers in turn; returns the outcome and the waits in milliseconds. */
async function call(answers: Answer[], use = async (http: Http): Promise<unknown> => await http.json({ method: 'GET', path: '/batches' })) {
  const next = () => answers.shift() ?? { status: 400, body: { error: { message: 'asked too often' } } };
  await using api = await startFakeApi(next, next);
  const waits: number[] = [];
  const http = createHttp({
    address: { baseUrl: api.baseUrl, baseUrlFrom: 'a test', apiKey: null, keyHint: '' },
    signal: new AbortController().signal,
    sleep: async (ms) => await Promise.resolve(void waits.push(ms)),
    random: () => 0,
  });
  const outcome: unknown = await use(http).catch((error: unknown) => error);
  return { outcome, waits };
}

const GOOD = { body: { good: true } };
const answer = (status: number, headers: Record<string, string> = {}): Answer => ({ status, headers, body: { error: { message: 'no' } } });

describe('createHttp', () => {
  it('repeats what may succeed later, with growing waits', async () => {
    const found = await call([answer(500), answer(408), answer(409), answer(429), 'hang up', GOOD]);
    assert.deepEqual(found, { outcome: { good: true }, waits: [500, 1000, 2000, 4000, 8000] });
  });

  it('takes up an answer that breaks off', async () => {
    assert.deepEqual((await call([{ ...GOOD, breaksAfter: 5 }, GOOD])).outcome, { good: true });
  });

  it('waits as long as the API asks, in seconds, milliseconds or until a date', async () => {
    const { waits } = await call([answer(429, { 'retry-after': '42' }), answer(503, { 'retry-after-ms': '7' }), GOOD]);
    assert.deepEqual(waits, [42_000, 7]);
    const now = Date.parse('2026-11-27T10:00:00Z');
    const read = (value: string) => retryAfterMs(new Headers({ 'retry-after': value }), now);
    assert.deepEqual(['1.5', 'Fri, 27 Nov 2026 10:00:09 GMT', 'Fri, 27 Nov 2026 09:00:00 GMT', 'soon'].map(read), [1500, 9000, 0, null]);
  });

  it('repeats nothing that the API calls final, and no other refusal', async () => {
    for (const final of [
      answer(409, { 'x-should-retry': 'false' }),
      answer(429, { 'x-should-retry': 'false' }),
      answer(400),
      answer(404),
    ]) {
      const { outcome, waits } = await call([final, GOOD]);
      assert.ok(outcome instanceof ApiFault && outcome.exitCode === 1);
      assert.deepEqual(waits, []);
    }
  });

  it('gives up when the API asks for more than two minutes, and when it stays busy', async () => {
    const far = await call([answer(429, { 'retry-after': '3600' }), GOOD]);
    assert.ok(far.outcome instanceof ApiFault && far.outcome.exitCode === 5);
    const { outcome, waits } = await call(Array.from({ length: 9 }, () => answer(503)));
    assert.ok(outcome instanceof ApiFault && outcome.exitCode === 5);
    assert.equal(waits.length, 5);
  });
});

describe('createApiClient', () => {
  const limits = async (http: Http) => await createApiClient(http).limits();
  const told = { body: { 'x-nightshift-limits': { max_requests_per_batch: 3 } } };

  it('asks for the limits again while the API is busy or away, and gives up without guessing them', async () => {
    const found = await call([answer(503), 'hang up', told], limits);
    assert.deepEqual(found, { outcome: { ...DEFAULT_LIMITS, maxRequestsPerBatch: 3 }, waits: [500, 1000] });
    const { outcome } = await call(
      Array.from({ length: 9 }, () => answer(503)),
      limits,
    );
    assert.ok(outcome instanceof ApiFault && outcome.exitCode === 5);
  });

  it('takes the default limits of an API that has no description', async () => {
    assert.deepEqual(await call([answer(404)], limits), { outcome: DEFAULT_LIMITS, waits: [] });
  });

  it('says that an answer is no list of upstreams', async () => {
    const { outcome } = await call([{ body: { object: 'list' } }], async (http) => await createApiClient(http).listUpstreams());
    assert.match(String(outcome), /no list of upstreams. Only Nightshift has this call/);
  });
});

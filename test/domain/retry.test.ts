import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Attempt, FailureCode } from '../../src/domain/attempt.ts';
import { decide, NO_TRIES, type RetryRules, timeoutFactor, type Tries, uncounted, type Verdict } from '../../src/domain/retry.ts';

const RULES: RetryRules = { maxFaults: 5, maxRefusals: null };
const answer = (status: number) => ({ status, body: Buffer.from('{}'), requestId: null });
const answered: Attempt = { kind: 'answered', answer: answer(200), usage: null };
const rejected: Attempt = { kind: 'rejected', answer: answer(400), message: 'status 400' };
const denied: Attempt = { kind: 'denied', answer: answer(403), retryAfterMs: null, message: 'status 403' };
const redirected: Attempt = { kind: 'denied', answer: null, retryAfterMs: null, message: 'a redirect' };
const away: Attempt = { kind: 'away', message: 'refused' };
const refused = (retryAfterMs: number | null = null): Attempt => ({ kind: 'refused', answer: answer(429), retryAfterMs, message: '' });
function failed(code: FailureCode = 'server_error', changes: Partial<Attempt & { kind: 'failed' }> = {}): Attempt {
  const ofServer = code === 'server_error' ? answer(500) : null;
  return { kind: 'failed', code, answer: ofServer, retryAfterMs: null, isCurable: true, message: code, ...changes };
}

function verdict(attempt: Attempt, tries: Partial<Tries> = {}, rules: Partial<RetryRules> = {}, random = 0): Verdict {
  assert.notEqual(attempt.kind, 'aborted');
  if (attempt.kind === 'aborted') throw new Error('an aborted attempt decides nothing');
  return decide(attempt, { ...NO_TRIES, ...tries }, { ...RULES, ...rules }, random);
}

/** `outcome 400`, `outcome request_timeout`, `retry 5000`, `wait 250`. */
function inShort(found: Verdict): string {
  if (found.kind !== 'outcome') return `${found.kind} ${found.waitMs}`;
  const { outcome } = found;
  if (outcome.kind === 'errored') return `outcome ${outcome.code}`;
  return `outcome ${outcome.answer.status}${outcome.isSuccess ? '' : ' failed'}`;
}

describe('decide', () => {
  const cases: [string, Verdict, string][] = [
    ['ends with an answer', verdict(answered), 'outcome 200'],
    ['ends with a rejection at once', verdict(rejected), 'outcome 400 failed'],
    ['ends with a denial that is its own', verdict(denied), 'outcome 403 failed'],
    ['ends with a denial without an answer to show', verdict(redirected), 'outcome invalid_response'],
    ['waits without a count when nothing listens', verdict(away), 'wait 250'],
    ['waits after a refusal', verdict(refused()), 'wait 250'],
    ['doubles the wait with each refusal', verdict(refused(), { refusals: 4 }), 'wait 4000'],
    ['waits a minute at most on its own account', verdict(refused(), { refusals: 500 }), 'wait 60000'],
    ['waits as long as the server says', verdict(refused(3_600_000)), 'wait 3600000'],
    ['never waits less than its own backoff', verdict(refused(0), { refusals: 1 }), 'wait 500'],
    ['spreads waits by a quarter', verdict(refused(1_000), {}, {}, 1), 'wait 1250'],
    ['ends with the refusal that rules allow as the last', verdict(refused(), { refusals: 2 }, { maxRefusals: 3 }), 'outcome 429 failed'],
    ['tries again 5 s after the first failure', verdict(failed()), 'retry 5000'],
    ['tries again 15 s after the second', verdict(failed(), { faults: 1 }), 'retry 15000'],
    ['tries again 45 s after the third', verdict(failed(), { faults: 2 }), 'retry 45000'],
    ['tries again 135 s after the fourth', verdict(failed(), { faults: 3 }), 'retry 135000'],
    ['waits no longer with more tries', verdict(failed(), { faults: 40 }, { maxFaults: 100 }), 'retry 135000'],
    ['spreads tries by a quarter', verdict(failed(), {}, {}, 1), 'retry 3750'],
    ['waits longer when the server says so', verdict(failed('server_error', { retryAfterMs: 90_000 })), 'retry 90000'],
    ['ends with the fifth failure, and its answer', verdict(failed(), { faults: 4 }), 'outcome 500 failed'],
    ['ends with the code of a failure without an answer', verdict(failed('connection_error'), { faults: 4 }), 'outcome connection_error'],
    ['tries once more what repeats hardly cure', verdict(failed('invalid_response', { isCurable: false })), 'retry 5000'],
    ['ends with its second', verdict(failed('invalid_response', { isCurable: false }), { faults: 3 }), 'outcome invalid_response'],
    ['tries a second time after a timeout', verdict(failed('request_timeout'), { faults: 2, timeouts: 1 }), 'retry 45000'],
    ['ends with the third timeout', verdict(failed('request_timeout'), { faults: 4, timeouts: 2 }), 'outcome request_timeout'],
  ];
  for (const [name, found, expected] of cases) it(name, () => assert.equal(inShort(found), expected));

  it('counts failures by weight, and refusals and timeouts on their own', () => {
    const tries = (found: Verdict) => [found.tries.faults, found.tries.timeouts, found.tries.refusals];
    assert.deepEqual(tries(verdict(failed())), [1, 0, 0]);
    assert.deepEqual(tries(verdict(failed('request_timeout'))), [2, 1, 0]);
    assert.deepEqual(tries(verdict(failed('invalid_response', { isCurable: false }))), [3, 0, 0]);
    assert.deepEqual(tries(verdict(refused(), { faults: 1 })), [1, 0, 1]);
    assert.deepEqual(tries(verdict(away, { refusals: 7 })), [0, 0, 7]);
  });
});

describe('the tries that do not count', () => {
  it('lengthen the next timeout and nothing else', () => {
    assert.deepEqual(uncounted(failed(), NO_TRIES), NO_TRIES);
    assert.deepEqual(uncounted(failed('request_timeout'), NO_TRIES), { ...NO_TRIES, timeouts: 1 });
  });

  it('double the timeout twice at most', () => {
    assert.deepEqual(
      [0, 1, 2, 3, 50].map((timeouts) => timeoutFactor({ ...NO_TRIES, timeouts })),
      [1, 2, 4, 4, 4],
    );
  });
});

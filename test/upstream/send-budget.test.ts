import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Observation } from '../../src/upstream/admission/observation.ts';
import type { RateBudget } from '../../src/domain/attempt.ts';
import { createSendBudget, type SendBudget } from '../../src/upstream/admission/send-budget.ts';

function answer(given: { requests?: RateBudget; tokens?: RateBudget; totalTokens?: number }): Observation {
  const { requests = null, tokens = null, totalTokens = null } = given;
  return { kind: 'answer', ms: 10, totalTokens, budgets: { requests, tokens } };
}

/** Sends as fast as allowed until `toMs`; every answer is there at once and tells what `tell` makes of the number sent. */
function sendUntil(budgets: SendBudget[], fromMs: number, toMs: number, tell: (sent: number, nowMs: number) => Observation): number {
  let sent = 0;
  for (let nowMs = fromMs; nowMs < toMs; nowMs += 1) {
    for (const budget of budgets) {
      while (budget.waitMs(nowMs) === 0 && sent < 100_000) {
        sent += 1;
        budget.seen(budget.sent(nowMs), tell(sent, nowMs), nowMs);
      }
    }
  }
  return sent;
}

describe('createSendBudget', () => {
  it('holds nothing back while nothing is told', () => {
    const budget = createSendBudget({ tokensPerMinute: null, maxWaitMs: 60_000 });
    for (let count = 0; count < 1000; count += 1) {
      assert.equal(budget.waitMs(0), 0);
      budget.seen(budget.sent(0), { kind: 'answer', ms: 5 }, 0);
    }
  });

  it("spreads a minute's requests over the minute and keeps to them, also when three share them unawares", () => {
    const budgets = [0, 1, 2].map(() => createSendBudget({ tokensPerMinute: null, maxWaitMs: 60_000 }));
    const perMinute = 600;
    const tell = (sent: number, nowMs: number) =>
      answer({ requests: { remaining: Math.max(0, perMinute - sent), resetMs: 60_000 - nowMs } });
    const first = sendUntil(budgets, 0, 15_000, tell);
    assert.ok(first < 0.65 * perMinute, `${first} in the first quarter`);
    const alone = [createSendBudget({ tokensPerMinute: null, maxWaitMs: 60_000 })];
    assert.ok(sendUntil(alone, 0, 15_000, tell) < 0.3 * perMinute);
    const whole = sendUntil([createSendBudget({ tokensPerMinute: null, maxWaitMs: 60_000 })], 0, 60_000, tell);
    assert.ok(whole <= perMinute && whole > 0.95 * perMinute, `${whole} in the minute`);
  });

  it('settles at the rate at which a bucket fills, without ever emptying it', () => {
    const budget = createSendBudget({ tokensPerMinute: null, maxWaitMs: 60_000 });
    const perMinute = 600;
    let [left, filledMs, least] = [perMinute, 0, perMinute];
    const tell = (_: number, nowMs: number): Observation => {
      left = Math.min(perMinute, left + ((nowMs - filledMs) * perMinute) / 60_000) - 1;
      filledMs = nowMs;
      least = Math.min(least, left);
      return answer({ requests: { remaining: Math.floor(left), resetMs: ((perMinute - left) * 60_000) / perMinute } });
    };
    sendUntil([budget], 0, 120_000, tell);
    const later = sendUntil([budget], 120_000, 180_000, tell);
    assert.ok(Math.abs(later - perMinute) < 0.05 * perMinute, `${later} in a minute`);
    assert.ok(least >= 0, `${least} left at least`);
  });

  it('waits for the reset when nothing remains, at most as long as allowed', () => {
    const budget = createSendBudget({ tokensPerMinute: null, maxWaitMs: 60_000 });
    budget.seen(budget.sent(0), answer({ requests: { remaining: 0, resetMs: 5000 } }), 0);
    assert.equal(budget.waitMs(1), 4999);
    assert.equal(budget.waitMs(5000), 0);
    budget.seen(budget.sent(5000), answer({ requests: { remaining: 0, resetMs: 86_400_000 } }), 5000);
    assert.equal(budget.waitMs(5000), 60_000);
  });

  it('spreads tokens by what requests have cost', () => {
    const budget = createSendBudget({ tokensPerMinute: null, maxWaitMs: 60_000 });
    budget.seen(budget.sent(0), answer({ totalTokens: 100, tokens: { remaining: 1000, resetMs: 10_000 } }), 0);
    budget.sent(0);
    const waitMs = budget.waitMs(0);
    assert.ok(waitMs >= 1000 && waitMs <= 1200, `${waitMs} ms for a tenth of what remains`);
  });

  it('does not let an older answer undo what a newer request was told', () => {
    const budget = createSendBudget({ tokensPerMinute: null, maxWaitMs: 60_000 });
    const [older, newer] = [budget.sent(0), budget.sent(0)];
    budget.seen(newer, answer({ requests: { remaining: 0, resetMs: 9000 } }), 10);
    budget.seen(older, answer({ requests: { remaining: 500, resetMs: 9000 } }), 20);
    assert.ok(budget.waitMs(20) > 8000);
  });

  it('holds a configured number of tokens per minute by what answers report', () => {
    const budget = createSendBudget({ tokensPerMinute: 6000, maxWaitMs: 60_000 });
    const sent = sendUntil([budget], 1, 60_001, () => ({ kind: 'answer', ms: 5, totalTokens: 100 }));
    assert.ok(sent >= 58 && sent <= 64, `${sent} requests of 100 tokens`);
  });
});

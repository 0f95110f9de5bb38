import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readRateBudgets } from '../../src/upstream/client/rate-headers.ts';

const NOW_MS = Date.parse('2026-01-01T00:00:00Z');

function resetOf(text: string): number | null | undefined {
  return readRateBudgets({ 'x-ratelimit-remaining-requests': '5', 'x-ratelimit-reset-requests': text }, NOW_MS)?.requests?.resetMs;
}

describe('readRateBudgets', () => {
  it('reads requests and tokens, each only when both of its headers are there', () => {
    assert.deepEqual(
      readRateBudgets(
        {
          'x-ratelimit-remaining-requests': '59',
          'x-ratelimit-reset-requests': '1s',
          'x-ratelimit-remaining-tokens': ['149984'],
          'x-ratelimit-reset-tokens': '6m0s',
        },
        NOW_MS,
      ),
      { requests: { remaining: 59, resetMs: 1000 }, tokens: { remaining: 149_984, resetMs: 360_000 } },
    );
    assert.deepEqual(
      readRateBudgets(
        { 'x-ratelimit-remaining-requests': '3', 'x-ratelimit-remaining-tokens': '9', 'x-ratelimit-reset-tokens': '2' },
        NOW_MS,
      ),
      { requests: null, tokens: { remaining: 9, resetMs: 2000 } },
    );
    assert.equal(readRateBudgets({ 'content-type': 'application/json' }, NOW_MS), null);
  });

  const forms: [text: string, ms: number][] = [
    ['250ms', 250],
    ['1s', 1000],
    ['1.5s', 1500],
    ['6m0s', 360_000],
    ['1h2m3s', 3_723_000],
    ['2m59.56s', 179_560],
    ['1d', 86_400_000],
    ['12', 12_000],
    ['0.25', 250],
    [String(NOW_MS / 1000 + 30), 30_000],
    [String(NOW_MS + 30_000), 30_000],
    ['2026-01-01T00:00:45Z', 45_000],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['2025-12-31T23:59:00Z', 0],
  ];
  for (const [text, ms] of forms) it(`reads a reset of ${text}`, () => assert.equal(resetOf(text), ms));

  for (const text of ['', 'soon', '-1', '1x', 's', '1s later', `${NOW_MS}000`, '9'.repeat(400)]) {
    it(`takes no reset from ${JSON.stringify(text)}`, () => assert.equal(resetOf(text) ?? null, null));
  }
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { retryAfterMs } from '../../src/upstream/client/retry-after.ts';

const NOW_MS = Date.parse('2026-01-01T00:00:00Z');
const YEAR_MS = 366 * 86_400_000;

describe('retryAfterMs', () => {
  const cases: [headers: Record<string, string>, ms: number | null][] = [
    [{ 'retry-after': '30' }, 30_000],
    [{ 'retry-after': '1.5' }, 1_500],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:01:00 GMT' }, 60_000],
    [{ 'retry-after': 'Wed, 31 Dec 2025 00:00:00 GMT' }, 0],
    [{ 'retry-after': '30', 'retry-after-ms': '250' }, 250],
    [{ 'retry-after': String(NOW_MS / 1000 + 90) }, 90_000],
    [{ 'retry-after': String(NOW_MS / 1000 - 90) }, 0],
    [{ 'retry-after': String(NOW_MS) }, YEAR_MS],
    [{ 'retry-after': '9'.repeat(400) }, YEAR_MS],
    [{ 'retry-after-ms': '9'.repeat(30) }, YEAR_MS],
    [{ 'retry-after': 'soon' }, null],
    [{}, null],
  ];
  for (const [headers, ms] of cases) {
    it(`reads ${JSON.stringify(headers).slice(0, 80)}`, () => assert.equal(retryAfterMs(headers, NOW_MS), ms));
  }
});

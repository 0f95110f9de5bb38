import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runStorm } from './storm.ts';

const HOUR_S = 3600;

describe('an hour of hostile traffic with 4,000 connections', () => {
  it('ends no process, grows no memory, and delays no other tenant by a second', { timeout: 2 * HOUR_S * 1000 }, async (t) => {
    const report = await runStorm({ seconds: HOUR_S, seed: 11, connections: 4000, perSecond: 200 });
    t.diagnostic(JSON.stringify(report));
    assert.equal(report.failedReads, 0);
    assert.ok(report.peakMib < 512, `${report.peakMib} MiB`);
    assert.ok(
      report.lastQuarterMib < 1.1 * report.secondQuarterMib,
      `grew from ${report.secondQuarterMib} to ${report.lastQuarterMib} MiB`,
    );
    assert.ok(report.p99Ms < 1000, `99 of 100 reads within ${report.p99Ms} ms`);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runStorm } from './storm.ts';

const MAX_MIB = 512;

describe('hostile traffic', () => {
  // storm.slow.ts goes on for an hour, and also judges how fast the other tenant's reads are.
  it('for a minute ends no process, grows no memory, and fails no read of another tenant', { timeout: 300_000 }, async (t) => {
    const report = await runStorm({ seconds: 60, seed: 1, connections: 1000, perSecond: 30, files: 60, readEveryMs: 200 });
    t.diagnostic(JSON.stringify(report));
    assert.equal(report.failedReads, 0);
    assert.ok(report.reads > 50, `${report.reads} reads`);
    assert.ok(report.peakMib < MAX_MIB, `${report.peakMib} MiB`);
    assert.ok(
      report.lastQuarterMib < 1.25 * report.secondQuarterMib,
      `grew from ${report.secondQuarterMib} to ${report.lastQuarterMib} MiB`,
    );
  });
});

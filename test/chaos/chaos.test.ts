import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toText } from './report.ts';
import { runChaos } from './run-chaos.ts';

describe('chaos', () => {
  it('loses nothing and doubles nothing while everything is killed, paused and cut off', { timeout: 590_000 }, async (t) => {
    const report = await runChaos({ seed: 20_261_123, seconds: 40, poisoned: false, lanes: 1, frozen: false, print: () => undefined });
    t.diagnostic(toText(report));
    // What the scripts of this seed plant is too little to end a line.
    assert.deepEqual(report.endedByFaults, [], toText(report));
    assert.deepEqual(report.complaints, [], `\n${report.faults.timeline.join('\n')}`);
    // A run in which nothing of this happened would prove nothing.
    const { faults: log, deeds, ran, shardsCompared, statuses } = report;
    for (const kind of ['kill', 'long pause', 'drain']) assert.ok((log.counts.get(kind) ?? 0) > 0, `no ${kind}: ${toText(report)}`);
    assert.ok(deeds.cancels.size > 0 && (statuses.get('cancelled') ?? 0) > 0, toText(report));
    assert.ok(ran > 0 && shardsCompared * 2 >= ran, toText(report));
    const faults = [...report.faults.counts.values()].reduce((sum, count) => sum + count, 0);
    assert.ok(faults >= 5 && report.lines >= 500, toText(report));
  });
});

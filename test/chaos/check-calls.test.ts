import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { causesOf } from './call-causes.ts';
import type { Call } from './calls.ts';
import { type Causes, checkCalls, ownFaults } from './check-calls.ts';
import { facts, ID } from './facts.ts';
import type { Harm } from './faults.ts';

const KEY = `${ID}-1`;

function call(end: Call['end'], fromMs: number, toMs: number | null, worker = 'worker-1'): Call {
  return { key: KEY, worker, requestHash: 'x', sentAtMs: fromMs, endedAtMs: toMs, end, status: null, answerHash: null };
}

const answered = (toMs: number, worker?: string) => call('answered', toMs - 100, toMs, worker);
const broken = (toMs: number, worker?: string) => call('broken', toMs - 100, toMs, worker);
const fault = (toMs: number) => call('fault', toMs - 100, toMs);

/** Killed at 5 s; what was answered in the 4 s before may not have been stored. */
const kill: Harm = { worker: 'worker-1', why: 'kill', fromMs: 5_000, toMs: 5_010, lost: { fromMs: 1_000, toMs: 5_010 } };
/** Taken for dead from 50 to 85 s, and told so by 105 s. */
const pause: Harm = { worker: 'worker-1', why: 'pause', fromMs: 50_000, toMs: 105_000, lost: { fromMs: 46_000, toMs: 105_000 } };
/** Nothing reached the upstream from 200 to 205 s. */
const stall: Harm = { worker: 'worker-1', why: 'stall', fromMs: 200_000, toMs: 205_000, lost: null };

const CAUSES: Causes = {
  harms: [kill, pause, stall],
  upstreamDeathsMs: [],
  plantedOf: () => ({ faults: 0, resets: 0 }),
  endingMsOf: () => Infinity,
};
const planted = (faults: number, resets: number): Partial<Causes> => ({ plantedOf: () => ({ faults, resets }) });
const many = (count: number, one: (index: number) => Call): Call[] => Array.from({ length: count }, (_, index) => one(index));

function check(calls: readonly Call[], causes: Partial<Causes> = {}) {
  return checkCalls(
    Map.groupBy(calls, ({ key }) => key),
    { ...CAUSES, ...causes },
  );
}

type Case = readonly [what: string, calls: readonly Call[], causes?: Partial<Causes>];

const ALLOWED: readonly Case[] = [
  ['one answer', [answered(20_000)]],
  ['a second answer where the first one died with its worker', [answered(2_000), answered(9_000, 'worker-2')]],
  ['a call that broke off with its worker, and another one', [broken(5_005), answered(9_000, 'worker-2')]],
  ['both answers of a line that a worker that was taken for dead sent once more', [answered(90_000), answered(85_000, 'worker-2')]],
  ['a call for each of two harms, whichever of them is looked at first', [call('broken', 4_990, 60_000), broken(5_005), answered(120_000)]],
  ['a call that broke off while the way upstream was stalled', [call('broken', 199_000, 219_000), answered(220_000)]],
  ['a fault for each that is planted', [fault(20_000), answered(21_000)], planted(1, 0)],
  ['a reset for each that is planted', [broken(20_000), answered(21_000)], planted(0, 1)],
  [
    'the same fault again from an upstream that died meanwhile',
    [fault(20_000), fault(22_000), answered(23_000)],
    { ...planted(1, 0), upstreamDeathsMs: [21_000] },
  ],
  [
    'the same reset again from an upstream that died meanwhile',
    [broken(20_000), broken(22_000), answered(23_000)],
    { ...planted(0, 1), upstreamDeathsMs: [21_000] },
  ],
  ['a call that broke off when its batch was cancelled', [broken(20_000)], { endingMsOf: () => 19_000 }],
];

const NEEDLESS = /sent without need 1 times/;
const TOLD: readonly (readonly [...Required<Case>, told: RegExp])[] = [
  ['a second answer outside the time in which its worker was killed', [answered(20_000), answered(21_000)], {}, NEEDLESS],
  ['a second answer while another worker was killed', [answered(2_000, 'worker-2'), answered(9_000, 'worker-2')], {}, NEEDLESS],
  ['a second answer while nothing but the way upstream was stalled', [answered(202_000), answered(203_000)], {}, NEEDLESS],
  ['a second answer that a kill lost', [answered(2_000), answered(3_000), answered(9_000)], {}, NEEDLESS],
  ['a second call that broke off in the same pause', [broken(60_000), broken(90_000), answered(120_000)], {}, NEEDLESS],
  ['a thousand calls that broke off with no harm at all', many(1_000, (at) => broken(20_000 + at)), { harms: [] }, /1000 times \(broken\)/],
  ['a thousand calls that broke off in one pause', many(1_000, (at) => broken(60_000 + at)), {}, /999 times \(broken\)/],
  ['a thousand faults with none planted', many(1_000, (at) => fault(20_000 + at)), { harms: [] }, /1000 times \(fault\)/],
  ['a fault of a worker that was killed, with none planted', [fault(5_000), answered(9_000)], {}, NEEDLESS],
  ['one fault more than is planted', [fault(20_000), fault(21_000), answered(22_000)], planted(1, 0), NEEDLESS],
  [
    'the same fault again from an upstream that died at another time',
    [fault(20_000), fault(22_000), answered(23_000)],
    { ...planted(1, 0), upstreamDeathsMs: [30_000] },
    NEEDLESS,
  ],
  ['a call that broke off before anything was harmed', [broken(3_000), answered(9_000)], {}, NEEDLESS],
  ['one that broke off long after a kill', [broken(9_000), answered(10_000)], {}, NEEDLESS],
  ['one that broke off while another worker was harmed', [broken(5_005, 'worker-2'), answered(9_000)], {}, NEEDLESS],
  ['one that broke off once a worker had been told that it was given up', [broken(107_000), answered(108_000)], {}, NEEDLESS],
  ['one that is still open', [call('open', 300_000, null)], {}, NEEDLESS],
  ['one reset more than is planted', [broken(20_000), broken(21_000), answered(22_000)], planted(0, 1), NEEDLESS],
  ['a call that broke off before its batch was cancelled', [broken(20_000)], { endingMsOf: () => 20_500 }, NEEDLESS],
  ['one that was sent once more after its batch was cancelled', [broken(20_000), answered(21_000)], { endingMsOf: () => 19_000 }, NEEDLESS],
  ['a call of a line that nobody made', [answered(20_000)], { plantedOf: () => null }, /is no line/],
  // It came soon enough after the kill to be its doing, but was not in flight then.
  [
    'more calls than all harms together explain',
    [broken(5_600), answered(9_000)],
    { harms: [kill] },
    /2 calls went upstream, and no more than 1 had to/,
  ],
];

describe('the checks of calls upstream', () => {
  for (const [what, calls, causes] of ALLOWED) {
    it(`allow ${what}`, () => {
      assert.deepEqual(check(calls, causes).complaints, []);
    });
  }

  for (const [what, calls, causes, told] of TOLD) {
    it(`tell of ${what}`, () => {
      const { complaints } = check(calls, causes);
      assert.ok(
        complaints.some((complaint) => told.test(complaint)),
        `${told} is not in ${JSON.stringify(complaints)}`,
      );
    });
  }

  it('count what went upstream, and what may have at most: lines, what is planted, and what was in flight or not yet stored when harm was done', () => {
    const calls = [fault(500), answered(2_000), broken(5_005), answered(9_000), answered(60_000, 'worker-2')];
    const { complaints: _, ...sum } = check(calls, { ...planted(1, 0), harms: [kill] });
    assert.deepEqual(sum, { calls: 5, bound: 1 + 1 + 1, faults: 1, broken: 1, answeredAgain: 2 });
  });

  it('know the script of a line and the end of its batch by the key of a call', () => {
    const { batch, input } = facts();
    input.planted[2] = { faults: 1, resets: 0 };
    const log = { harms: [], upstreamDeathsMs: [] };
    const of = (changes: object) => causesOf(log, [{ ...batch, ...changes }], new Map([[batch.input_file_id, input]]), 4_000);
    const { plantedOf, endingMsOf } = of({});
    assert.deepEqual([plantedOf(`${ID}-3`)?.faults, plantedOf(`${ID}-4`)?.faults], [1, 0]);
    assert.deepEqual([plantedOf(`${ID}-5`), plantedOf('batch_2-1')], [null, null]);
    assert.equal(endingMsOf(KEY), 86_410_000 - 4_000);
    assert.equal(of({ cancelling_at: 12 }).endingMsOf(KEY), 12_000 - 4_000);
    // As the wire has it where nobody cancelled.
    assert.equal(of({ cancelling_at: null }).endingMsOf(KEY), 86_410_000 - 4_000);
  });
});

describe('the faults of a line of its own', () => {
  const own = (calls: readonly Call[], causes: Partial<Causes> = {}) => ownFaults(calls, KEY, { ...CAUSES, ...causes });

  it('are the faults that were answered, and as many broken calls as its script plants', () => {
    const calls = [fault(1_000), broken(2_000), broken(3_000), answered(4_000)];
    assert.equal(own(calls), 1);
    assert.equal(own(calls, planted(0, 1)), 2);
    assert.equal(own(calls, planted(0, 5)), 3);
  });

  it('grow with each death of the upstream, which begins the script again', () => {
    const calls = [broken(1_000), broken(3_000), broken(5_000)];
    assert.equal(own(calls, { ...planted(0, 1), upstreamDeathsMs: [2_000] }), 2);
  });
});

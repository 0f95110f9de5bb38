import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createCustomIds } from '../../src/domain/custom-ids.ts';
import { createMemoryBudget } from '../../activities/memory-budget.ts';
import { createPauseDetector } from '../../activities/run-requests/pause-detector.ts';
import { NO_TRIES } from '../../src/domain/retry.ts';
import { readHistory } from '../../activities/run-requests/attempt-history.ts';
import { createPieceReader } from '../../activities/run-requests/shard-pieces.ts';

const { signal } = new AbortController();
const settled = async (promise: Promise<unknown>) =>
  await Promise.race([promise.then(() => true), new Promise((resolve) => setImmediate(resolve, false))]);

describe('custom ids', () => {
  it('finds every repeat among 200,000 and its first line, lone surrogates told apart', () => {
    const ids = createCustomIds((bytes) => hash('sha256', bytes, 'buffer'));
    for (let at = 0; at < 200_000; at++) assert.equal(ids.lineOf(`id-${at}`, at + 1), null);
    for (let at = 0; at < 200_000; at += 997) assert.equal(ids.lineOf(`id-${at}`, 300_000), at + 1);
    assert.deepEqual([ids.lineOf('\ud800', 7), ids.lineOf('\ud801', 8), ids.lineOf('\ud800', 9)], [null, null, 7]);
  });
});

describe('the memory budget', () => {
  it('lets what does not fit wait, and what is too large go alone, in order', async () => {
    const budget = createMemoryBudget(100_000);
    const first = await budget.reserve(50_000, signal);
    const large = budget.reserve(1_000_000, signal);
    const small = budget.reserve(1, signal);
    assert.deepEqual([await settled(large), await settled(small), budget.isCrowded], [false, false, true]);
    first.release();
    const held = await large;
    assert.equal(await settled(small), false);
    held.release();
    (await small).release();
    assert.equal(budget.used, 0);
  });

  it('gives the room of one that stops waiting to those behind it', async () => {
    const budget = createMemoryBudget(100_000);
    const first = await budget.reserve(50_000, signal);
    const impatient = new AbortController();
    const large = budget.reserve(1_000_000, impatient.signal);
    const small = budget.reserve(1, signal);
    impatient.abort();
    await assert.rejects(large);
    (await small).release();
    first.release();
    first.release();
    assert.equal(budget.used, 0);
  });
});

describe('a lease of memory that grows', () => {
  const KIB = 1024;
  // The guess for an answer, of which nothing else is known yet.
  const GUESS = 16 * KIB;

  it('counts what arrives beyond the guess at once', async () => {
    const budget = createMemoryBudget(1000 * KIB);
    const lease = await budget.reserve(KIB, signal);
    assert.equal(lease.grow(GUESS), undefined);
    assert.equal(budget.used, KIB + GUESS);
    assert.equal(lease.grow(100 * KIB), undefined);
    assert.equal(budget.used, KIB + GUESS + 100 * KIB);
    lease.exchange(110 * KIB);
    assert.equal(budget.used, 110 * KIB);
    budget.release(110 * KIB);
    assert.equal(budget.used, 0);
  });

  it('lets one answer through over budget and holds up the others until it ends', async () => {
    const budget = createMemoryBudget(100 * KIB);
    const leases = [await budget.reserve(0, signal), await budget.reserve(0, signal), await budget.reserve(0, signal)] as const;
    const [first, second, third] = leases;
    assert.equal(first.grow(GUESS + 40 * KIB), undefined);
    const secondHeld = second.grow(GUESS);
    assert.equal(secondHeld, undefined);
    // Over budget from here on: the first that asks is let through to its end.
    assert.equal(first.grow(100 * KIB), undefined);
    const held = second.grow(10 * KIB);
    const alsoHeld = third.grow(GUESS + 1);
    assert.ok(held instanceof Promise && alsoHeld instanceof Promise);
    assert.equal(first.grow(500 * KIB), undefined);
    assert.deepEqual([await settled(held), await settled(alsoHeld), budget.isCrowded], [false, false, true]);
    // Its result stays in memory until it is stored, and more than the budget has; still the next one is let through.
    first.exchange(200 * KIB);
    await held;
    assert.equal(await settled(alsoHeld), false);
    budget.release(200 * KIB);
    await alsoHeld;
    second.release();
    third.release();
    assert.deepEqual([budget.used, budget.isCrowded], [0, false]);
  });

  it('goes before requests that have not begun', async () => {
    const budget = createMemoryBudget(100 * KIB);
    const [first, second] = [await budget.reserve(0, signal), await budget.reserve(0, signal)];
    assert.equal(first.grow(200 * KIB), undefined);
    const held = second.grow(GUESS + 1);
    const waiting = budget.reserve(60 * KIB, signal);
    assert.ok(held instanceof Promise);
    first.release();
    await held;
    await waiting;
    second.release();
  });

  it('frees what an answer took that will be sent for again, and its turn', async () => {
    const budget = createMemoryBudget(100 * KIB);
    const [first, second] = [await budget.reserve(0, signal), await budget.reserve(0, signal)];
    assert.equal(first.grow(200 * KIB), undefined);
    const held = second.grow(GUESS + 1);
    assert.ok(held instanceof Promise);
    first.dropAnswer();
    await held;
    assert.equal(budget.used, 2 * GUESS + 1);
    assert.equal(first.grow(GUESS), undefined);
    assert.equal(budget.used, 2 * GUESS + 1);
    first.release();
    second.release();
    assert.equal(budget.used, 0);
  });

  it('never waits for a lease that was released while it was held up', async () => {
    const budget = createMemoryBudget(100 * KIB);
    const [first, second, third] = [await budget.reserve(0, signal), await budget.reserve(0, signal), await budget.reserve(0, signal)];
    assert.equal(first.grow(200 * KIB), undefined);
    const [gone, held] = [second.grow(200 * KIB), third.grow(200 * KIB)];
    assert.ok(gone instanceof Promise && held instanceof Promise);
    second.release();
    first.release();
    await held;
    third.release();
    assert.equal(budget.used, 0);
  });
});

describe('the pause detector', () => {
  it('tells of a pause before anything else can be done, and only those who were there', () => {
    let now = 0;
    const detector = createPauseDetector({ monotonicMs: () => now });
    const told: string[] = [];
    using _first = detector.listen(() => told.push('first'), 20_000);
    now = 19_999;
    detector.check();
    assert.equal(told.length, 0);
    now = 20_000;
    detector.check();
    using _second = detector.listen(() => told.push('second'), 20_000);
    detector.check();
    assert.deepEqual(told, ['first']);
  });

  it('tells each listener of pauses that are long enough for it', () => {
    let now = 0;
    const detector = createPauseDetector({ monotonicMs: () => now });
    const told: string[] = [];
    using _patient = detector.listen(() => told.push('patient'), 20_000);
    using _impatient = detector.listen(() => told.push('impatient'), 5_000);
    now = 6_000;
    detector.check();
    assert.deepEqual(told, ['impatient']);
    now = 26_000;
    detector.check();
    assert.deepEqual(told, ['impatient', 'patient']);
  });
});

describe('the history of an attempt', () => {
  const beat = {
    attempt: 2,
    faults: 3,
    timeouts: 1,
    refusals: 4,
    server: 1,
    sent: true,
    ended: false,
    losses: 1,
    losses_on_wire: 1,
  };
  const read = (details: unknown, attempt: number, faults = 0) => readHistory(details, { attempt, tries: { ...NO_TRIES, faults } });

  it('counts a loss on the wire only when the last beat says so', () => {
    assert.deepEqual(read(beat, 3), {
      tries: { faults: 3, timeouts: 1, refusals: 4 },
      server: 1,
      losses: 2,
      lossesOnWire: 2,
      mayHavePieces: true,
    });
    assert.equal(read({ ...beat, sent: false }, 3).lossesOnWire, 1);
    assert.deepEqual([read({ ...beat, excused: true }, 3).lossesOnWire, read({ ...beat, excused: true }, 3).losses], [1, 2]);
    assert.equal(read({ ...beat, ended: true }, 3).losses, 1);
  });

  it('counts attempts that never came to beat as losses off the wire', () => {
    const tries = { faults: 1, timeouts: 0, refusals: 0 };
    assert.deepEqual(read(undefined, 3, 1), { tries, server: null, losses: 2, lossesOnWire: 0, mayHavePieces: true });
    assert.equal(read(beat, 5).losses, 4);
  });

  it('expects no pieces of attempts that all ended with a fault, and takes foreign details for none', () => {
    assert.equal(read({ ...beat, attempt: 1, losses: 0, ended: true }, 2).mayHavePieces, false);
    assert.equal(read({ line: 1 }, 1, 2).tries.faults, 2);
  });

  it('expects pieces of an attempt that ended after it had results', () => {
    const found = read({ ...beat, attempt: 1, losses: 0, ended: true, left_results: true }, 2);
    assert.deepEqual([found.losses, found.mayHavePieces], [0, true]);
  });
});

describe('the reading of pieces', () => {
  it('is shared by all who ask while another is under way, and never older than the question', async () => {
    let readings = 0;
    const gate = Promise.withResolvers<void>();
    const read = createPieceReader({
      async *listPieceEntries() {
        const line = ++readings;
        if (line === 1) await gate.promise;
        yield [{ line, outcome: 'completed', usage: null, attempts: 1, milliseconds: 1, key: '', offset: 0, length: 0 }];
      },
    });
    const first = read('batch', 0);
    const later = [read('batch', 0), read('batch', 0), read('batch', 0)];
    gate.resolve();
    assert.deepEqual([...(await first).keys()], [1]);
    for (const outcomes of await Promise.all(later)) assert.deepEqual([...outcomes.keys()], [2]);
    assert.equal(readings, 2);
  });

  it('is done for four shards at a time, in the order of the questions', async () => {
    const begun: number[] = [];
    const gates = new Map<number, PromiseWithResolvers<void>>();
    const read = createPieceReader({
      async *listPieceEntries(_batchId, shard) {
        begun.push(shard);
        const held = Promise.withResolvers<void>();
        gates.set(shard, held);
        await held.promise;
        if (shard === 0) throw new Error('the bucket is away');
        yield [{ line: shard, outcome: 'completed', usage: null, attempts: 1, milliseconds: 1, key: '', offset: 0, length: 0 }];
      },
    });
    const readings = [0, 1, 2, 3, 4, 5].map(async (shard) => await read('batch', shard));
    assert.deepEqual(begun, [0, 1, 2, 3]);
    gates.get(0)?.resolve();
    await assert.rejects(readings[0] ?? Promise.resolve(), /away/);
    for (const shard of [1, 2, 3, 4, 5]) {
      gates.get(shard)?.resolve();
      assert.deepEqual([...((await readings[shard]) ?? [])], [[shard, 'completed']]);
    }
    assert.deepEqual(begun, [0, 1, 2, 3, 4, 5]);
  });
});

describe('the checking of long lines', () => {
  it('takes less than half of a worker of 1 GiB for one line of 200 MB, and little more for four at a time', async () => {
    const lineBytes = 200_000_000;
    const script = fileURLToPath(new URL('check-long-lines.ts', import.meta.url));
    const peakOf = async (inputs: number) =>
      Number((await promisify(execFile)(process.execPath, [script, String(inputs), String(lineBytes)])).stdout);
    const [one, four] = [await peakOf(1), await peakOf(4)];
    assert.ok(one < 500_000_000, `one line took ${one} bytes`);
    // What the collector has not taken yet of earlier lines counts; held together, the four would be three lines more.
    assert.ok(four < one + lineBytes, `four took ${four} bytes, one ${one}`);
  });
});

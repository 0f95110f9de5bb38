import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createPieceWriters } from '../../activities/run-requests/piece-writers.ts';
import type { LineResult } from '../../src/domain/piece.ts';
import { ObjectStoreError } from '../../src/storage/object-store.ts';
import { until } from '../helpers/until.ts';

interface Put {
  key: string;
  results: readonly LineResult[];
  /** Ends the call: stored, or failed with this. */
  finish(error?: Error): void;
}

/** Writers over a bucket that answers by itself, or when the test says so. */
function startWriters({ answers = true } = {}) {
  const puts: Put[] = [];
  const clock = { behindMs: 0 };
  let made = 0;
  const writers = createPieceWriters({
    pieces: {
      async putPiece({ batchId, shard, writer, piece }, results) {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        puts.push({ key: `${batchId}/${shard}/${writer}/${piece}`, results, finish: (error) => (error ? reject(error) : resolve()) });
        if (answers) resolve();
        await promise;
      },
    },
    monotonicMs: () => performance.now() + clock.behindMs,
    randomHex: () => `w${++made}`,
  });
  const open = (changes: { batchId?: string; shard?: number; lines?: number; giveUp?: AbortSignal } = {}) => {
    const { batchId = 'batch', shard = 0, lines = 1, giveUp = new AbortController().signal } = changes;
    return writers.open({ batchId, shard }, { lines, giveUp });
  };
  const keys = () => puts.map(({ key }) => key);
  const lines = () => puts.map(({ results }) => results.map(({ line }) => line));
  return { puts, open, keys, lines, clock };
}

function result(line: number, bytes = 10): LineResult {
  return { line, outcome: 'completed', usage: null, attempts: 1, milliseconds: 1, resultLine: Buffer.alloc(bytes, 'x') };
}

const away = () => new ObjectStoreError('put', 'key', new Error('the bucket is away'));
const ignore = () => undefined;

describe('the writers of pieces', { concurrency: true }, () => {
  it('store the results of 100 slices that end within a second in four pieces at most', async () => {
    const { open, lines } = startWriters();
    using _unanswered = open();
    const slices = Array.from({ length: 100 }, () => open());
    await Promise.all(
      slices.map(async (slice, line) => {
        await new Promise((resolve) => setTimeout(resolve, 5 * line));
        slice.add(result(line), ignore);
        await slice.end();
        slice[Symbol.dispose]();
      }),
    );
    assert.ok(lines().length <= 4, `${lines().length} pieces`);
    assert.deepEqual(
      lines().flat(),
      slices.map((_, line) => line),
    );
  });

  it('store a result at once when no other slice may add one', async () => {
    const { open, keys } = startWriters();
    for (const line of [1, 2, 3]) {
      using slice = open();
      slice.add(result(line), ignore);
      const ended = slice.end();
      assert.equal(keys().length, line);
      await ended;
    }
    assert.equal(new Set(keys()).size, 3);
  });

  it('let slices of many lines wait the less for others the more lines they have', async () => {
    const { open, lines } = startWriters();
    using _unanswered = open();
    using first = open();
    first.add(result(1), ignore);
    await first.end();
    using small = open();
    using large = open({ lines: 1_000 });
    small.add(result(2), ignore);
    const ended = small.end();
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(lines(), [[1]]);
    large.add(result(3), ignore);
    const beganMs = performance.now();
    await Promise.all([ended, large.end()]);
    assert.ok(performance.now() - beganMs < 500);
    assert.deepEqual(lines(), [[1], [2, 3]]);
  });

  it('wait half as long as its slice took once half of the slices wait', async () => {
    const { open, lines, clock } = startWriters();
    const slices = Array.from({ length: 8 }, () => open());
    clock.behindMs = 100;
    const ends = slices.map(async (slice, line) => {
      if (line > 4) return;
      slice.add(result(line), ignore);
      await slice.end();
    });
    assert.deepEqual(lines(), [[0]]);
    const beganMs = performance.now();
    await Promise.all(ends);
    assert.ok(performance.now() - beganMs < 700);
    assert.deepEqual(lines(), [[0], [1, 2, 3, 4]]);
  });

  it('keep batches apart, and shards', async () => {
    const { open, keys } = startWriters();
    const slices = [open(), open(), open({ batchId: 'other' }), open({ shard: 1 })];
    await Promise.all(
      slices.map(async (slice, line) => {
        slice.add(result(line), ignore);
        await slice.end();
      }),
    );
    assert.deepEqual(keys().toSorted(), ['batch/0/w1/1', 'batch/0/w1/2', 'batch/1/w3/1', 'other/0/w2/1']);
  });

  it('try again with the same results under the same key until the bucket takes them', async () => {
    const { puts, open, keys, lines } = startWriters({ answers: false });
    const stored: boolean[] = [];
    using slice = open();
    slice.add(result(1), (_, isStored) => stored.push(isStored));
    const ended = slice.end();
    puts[0]?.finish(away());
    await until(() => puts.length === 2, { what: 'the second try', everyMs: 10 });
    assert.deepEqual([keys()[1], lines()[1], stored], [keys()[0], [1], []]);
    puts[1]?.finish();
    await ended;
    assert.deepEqual(stored, [true]);
  });

  it('let a slice end without the results of others', async () => {
    const { puts, open } = startWriters({ answers: false });
    using first = open();
    using second = open();
    first.add(result(1), ignore);
    const ended = first.end();
    second.add(result(2), ignore);
    const held = second.end();
    puts[0]?.finish();
    await ended;
    assert.equal(puts.length, 2);
    puts[1]?.finish();
    await held;
  });

  it('let a slice give up without the others, and store its results if the bucket comes back', async () => {
    const { puts, open, lines } = startWriters({ answers: false });
    const giveUp = new AbortController();
    const stored: [number, boolean][] = [];
    const settled = ({ line }: LineResult, isStored: boolean) => stored.push([line, isStored]);
    const impatient = open({ giveUp: giveUp.signal });
    using patient = open();
    impatient.add(result(1), settled);
    patient.add(result(2), settled);
    const [given, kept] = [impatient.end(), patient.end()];
    given.catch(ignore);
    puts[0]?.finish(away());
    giveUp.abort();
    await until(() => puts.length === 2, { what: 'its last try', everyMs: 10 });
    puts[1]?.finish(away());
    await assert.rejects(given, /the bucket is away/);
    impatient[Symbol.dispose]();
    assert.deepEqual(stored, []);
    await until(() => puts.length === 3, { what: 'the try of the other', everyMs: 10 });
    puts[2]?.finish();
    await kept;
    assert.deepEqual(lines()[2], [1, 2]);
    assert.deepEqual(stored, [
      [1, true],
      [2, true],
    ]);
  });

  it('drop a piece once all its slices have given up, and go on with the next one', async () => {
    const { puts, open, keys } = startWriters({ answers: false });
    const giveUp = new AbortController();
    giveUp.abort();
    const stored: boolean[] = [];
    const slice = open({ giveUp: giveUp.signal });
    slice.add(result(1), (_, isStored) => stored.push(isStored));
    const ended = slice.end();
    puts[0]?.finish(away());
    await assert.rejects(ended, /the bucket is away/);
    assert.deepEqual(stored, [false]);
    slice[Symbol.dispose]();
    using next = open();
    next.add(result(1), ignore);
    const kept = next.end();
    puts[1]?.finish();
    await kept;
    assert.deepEqual(keys(), ['batch/0/w1/1', 'batch/0/w2/1']);
  });

  it('say that the bucket is late after two seconds, for all slices of the shard and no other', () => {
    const { open, clock } = startWriters({ answers: false });
    const [first, second, other] = [open(), open(), open({ shard: 1 })];
    first.add(result(1), ignore);
    first.flush();
    clock.behindMs = 1_900;
    assert.equal(second.isLate, false);
    clock.behindMs = 2_100;
    assert.deepEqual([first.isLate, second.isLate, other.isLate], [true, true, false]);
  });

  it('cut pieces at 4 MiB, four of them under way at a time, and small ones one after the other', async () => {
    const { puts, open, lines } = startWriters({ answers: false });
    using slice = open({ lines: 20 });
    for (let line = 1; line <= 11; line++) slice.add(result(line, 2 * 1024 * 1024), ignore);
    const ended = slice.end();
    assert.deepEqual(lines(), [
      [1, 2],
      [3, 4],
      [5, 6],
      [7, 8],
    ]);
    puts[1]?.finish();
    await until(() => puts.length === 5, { what: 'the fifth piece', everyMs: 5 });
    for (const each of puts) each.finish();
    await until(() => puts.length === 6, { what: 'the last piece', everyMs: 5 });
    puts[5]?.finish();
    await ended;
    assert.deepEqual(lines().slice(4), [[9, 10], [11]]);
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { newFileId } from '../../src/domain/ids.ts';
import { createUsageTable, dayOf } from '../../src/domain/usage.ts';
import { createResultCopies } from '../../src/storage/own-bucket.ts';
import { createUsageStore } from '../../src/storage/usage-store.ts';
import type { LineResult } from '../../src/domain/piece.ts';
import type { PieceStore } from '../../src/storage/piece-store.ts';
import type { ShardRange } from '../../src/domain/plan.ts';
import { addOutcome, countTally, emptyTally } from '../../src/domain/shard-tally.ts';
import { chatLine, chatLines } from '../helpers/lines.ts';
import { collect } from '../storage/test-bucket.ts';
import { attempt, randomHex, run, slice, type Stage, type StagedBatch, startStage, TENANT } from './stage.ts';

let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(async () => await stage[Symbol.asyncDispose]());

const range = (batch: { plan: { shards: ShardRange[] } }, shard = 0): ShardRange => {
  const found = batch.plan.shards[shard];
  assert.ok(found);
  return found;
};
const move = async (batch: StagedBatch, to: 'cancelling' | 'finalizing') =>
  await run(stage.worker().saveBatch, { ...batch, to, counts: null });

/** Stores results as an attempt of some worker would. */
async function putPiece(
  batch: StagedBatch,
  writer: string,
  ...results: (Pick<LineResult, 'line' | 'outcome'> & { text: string })[]
): Promise<void> {
  await stage.deps.pieces.putPiece(
    { batchId: batch.batchId, shard: 0, writer, piece: 1 },
    results.map(({ line, outcome, text }) => ({
      line,
      outcome,
      usage: null,
      attempts: 1,
      milliseconds: 1,
      resultLine: Buffer.from(JSON.stringify({ custom_id: text })),
    })),
  );
}

/** A line that a worker tells at this moment. */
async function tell({ batchId }: StagedBatch, line: number): Promise<void> {
  const tally = emptyTally();
  addOutcome(tally, line, 'completed');
  await stage.deps.batches.tallies.add(batchId, new Map([[0, tally]]), []);
}

async function toldOf({ batchId }: StagedBatch): Promise<number> {
  const tally = (await stage.deps.batches.tallies.read(batchId)).get(0);
  return tally === undefined ? 0 : countTally(tally).completed;
}

async function objectLines(object: { key: string; bytes: number } | null | undefined): Promise<string[]> {
  if (!object) return [];
  const text = String((await stage.bucket.store.get(object.key))?.body);
  assert.equal(Buffer.byteLength(text), object.bytes);
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line).custom_id);
}

describe('a batch, from input to files', () => {
  it('ends with every line exactly once, in input order, its counts and its usage', async () => {
    const input = Array.from({ length: 2400 }, (_, at) => chatLine(`line-${at + 1}`, at % 10 === 3 ? 'status=400' : '')).join('\n');
    const batch = await stage.begin(input);
    const worker = stage.worker();
    assert.deepEqual(
      batch.plan.shards.map(({ requests }) => requests),
      [1000, 1000, 400],
    );
    for (const shard of batch.plan.shards) {
      const { firstLine, lastLine } = shard;
      const halves = [
        [firstLine, firstLine + 99],
        [firstLine + 100, lastLine],
      ] as const;
      await Promise.all(
        halves.map(async ([first, last]) => await run(worker.runRequests, slice(batch, first, last, { shard: shard.shard }))),
      );
      assert.equal((await run(worker.closeShard, { ...batch, range: shard })).closed, true);
    }
    await move(batch, 'finalizing');
    assert.partialDeepStrictEqual(await run(worker.publishResults, { ...batch, to: 'completed' }), { status: 'completed', started: true });

    const ended = await stage.record(batch);
    assert.deepEqual(ended.request_counts, { total: 2400, completed: 2160, failed: 240 });
    assert.ok(ended.usage.total_tokens > 0 && ended.usage.total_tokens === ended.usage.input_tokens + ended.usage.output_tokens);
    const output = await stage.resultLines(ended.output_file_id);
    const errors = await stage.resultLines(ended.error_file_id);
    assert.deepEqual([output.length, errors.length], [2160, 240]);
    const numbers = (lines: { custom_id: string }[]) => lines.map(({ custom_id }) => Number(custom_id.slice(5)));
    assert.deepEqual(
      numbers(output),
      numbers(output).toSorted((a, b) => a - b),
    );
    assert.deepEqual(
      [...numbers(output), ...numbers(errors)].sort((a, b) => a - b),
      Array.from({ length: 2400 }, (_, at) => at + 1),
    );
    assert.ok(errors.every(({ response, error }) => response?.status_code === 400 && error === null));
    assert.equal(new Set([...output, ...errors].map(({ id }) => id)).size, 2400);

    const file = await stage.deps.files.get(TENANT, ended.output_file_id ?? '');
    const content = await stage.deps.files.openContent(TENANT, ended.output_file_id ?? '');
    assert.deepEqual([file?.filename, file?.purpose, file?.bytes], [`${batch.batchId}_output.jsonl`, 'batch_output', content?.size]);
    assert.equal((file?.expires_at ?? 0) - (file?.created_at ?? 0), 2_592_000);
    content?.body.destroy();
    assert.deepEqual(
      (await collect(stage.deps.batches.listOpen())).filter(({ id }) => id === batch.batchId),
      [],
    );
  });

  it('has no output file when nothing was completed, and no error file when nothing failed', async () => {
    for (const [script, has] of [
      ['status=400', 'error_file_id'],
      ['', 'output_file_id'],
    ] as const) {
      const batch = await stage.begin(chatLine('a', script));
      const worker = stage.worker();
      await run(worker.runRequests, slice(batch, 1, 1));
      await run(worker.closeShard, { ...batch, range: range(batch) });
      await move(batch, 'finalizing');
      await run(worker.publishResults, { ...batch, to: 'completed' });
      const { output_file_id, error_file_id } = await stage.record(batch);
      assert.deepEqual([output_file_id !== null, error_file_id !== null], [has === 'output_file_id', has === 'error_file_id']);
    }
  });
});

describe('the usage of a batch', () => {
  it('is counted by model and once, without the lines that never ran', async () => {
    const line = (id: string, model: string, script = '') =>
      JSON.stringify({
        custom_id: id,
        method: 'POST',
        url: '/v1/chat/completions',
        body: { model, messages: [{ role: 'user', content: 'hi' }], user: script },
      });
    const input = [line('1', 'a'), line('2', 'b', 'status=400'), line('3', 'a'), line('4', 'b'), line('5', 'b')].join('\n');
    const tenantUsage = async () => {
      const table = createUsageTable(['model']);
      const day = dayOf(Date.now() / 1000);
      for (const each of await collect(createUsageStore(stage.bucket.store).read({ tenant: TENANT, from: day, to: day }))) table.add(each);
      return new Map(table.rows().map(({ model, ...sums }) => [model, sums]));
    };
    const before = await tenantUsage();
    const batch = await stage.begin(input);
    const worker = stage.worker();
    await run(worker.runRequests, slice(batch, 1, 4));
    await move(batch, 'cancelling');
    await run(worker.closeShard, { ...batch, range: range(batch) });
    for (const each of [worker, stage.worker()]) await run(each.publishResults, { ...batch, to: 'cancelled' });
    const [ended, used] = [await stage.record(batch), await tenantUsage()];
    assert.deepEqual(
      ['a', 'b'].map((model) => [used.get(model)?.requests, used.get(model)?.failed]),
      [
        [2, 0],
        [2, 1],
      ],
    );
    const tokens = (['a', 'b'] as const).reduce((sum, model) => sum + (used.get(model)?.total_tokens ?? 0), 0);
    assert.deepEqual([before.has('a'), tokens], [false, ended.usage.total_tokens]);
    assert.ok(tokens > 0);
  });
});

describe('closeShard', () => {
  it('keeps answers that were stored after it listed the pieces and before it read that the batch is cancelled', async () => {
    const batch = await stage.begin(chatLines(3));
    const { batches } = stage.deps;
    // This worker stands still between the two. Others send two lines meanwhile, and then a client cancels.
    const get: typeof batches.get = async (tenant, id) => {
      await putPiece(batch, 'other-1', { line: 1, outcome: 'completed', text: 'line-1' }, { line: 3, outcome: 'failed', text: 'line-3' });
      await move(batch, 'cancelling');
      return await batches.get(tenant, id);
    };
    const slow = stage.worker({ batches: { ...batches, get } });
    assert.deepEqual(await run(slow.closeShard, { ...batch, range: range(batch) }), { closed: true, completed: 1, failed: 1 });
    const [result] = await stage.deps.pieces.listShardResults(batch.batchId);
    assert.deepEqual([await objectLines(result?.output), await objectLines(result?.error)], [['line-1'], ['line-2', 'line-3']]);
  });

  it('takes a completed outcome before a failed one, then the lowest key, whoever wrote it', async () => {
    const batch = await stage.begin(chatLines(3));
    await putPiece(batch, '1-1-a', { line: 1, outcome: 'failed', text: 'failed first' }, { line: 2, outcome: 'completed', text: 'lowest' });
    await putPiece(
      batch,
      '2-1-b',
      { line: 1, outcome: 'completed', text: 'completed later' },
      { line: 2, outcome: 'completed', text: 'higher' },
    );
    await putPiece(batch, '3-1-c', { line: 3, outcome: 'failed', text: 'failed' }, { line: 3, outcome: 'failed', text: 'failed again' });
    assert.deepEqual(await run(stage.worker().closeShard, { ...batch, range: range(batch) }), { closed: true, completed: 2, failed: 1 });
    const result = await stage.deps.pieces.getShardResult(batch.batchId, 0);
    assert.deepEqual(await objectLines(result?.output), ['completed later', 'lowest']);
    assert.deepEqual(await objectLines(result?.error), ['failed']);
  });

  it('returns the lines without an outcome while the batch goes on', async () => {
    const batch = await stage.begin(`${chatLines(2)}\n${chatLines(4, 'more-')}`);
    await putPiece(batch, '1-1-a', { line: 5, outcome: 'completed', text: 'x' });
    assert.deepEqual(await run(stage.worker().closeShard, { ...batch, range: range(batch) }), {
      closed: false,
      missing: [
        [1, 2],
        [4, 4],
        [6, 7],
      ],
    });
    assert.equal(await stage.deps.pieces.getShardResult(batch.batchId, 0), null);
  });

  it('closes them as batch_cancelled once the record says cancelling, between the failed ones in input order', async () => {
    const batch = await stage.begin(chatLines(5));
    await putPiece(batch, '1-1-a', { line: 2, outcome: 'failed', text: 'line-2' }, { line: 4, outcome: 'completed', text: 'line-4' });
    await move(batch, 'cancelling');
    assert.deepEqual(await run(stage.worker().closeShard, { ...batch, range: range(batch) }), { closed: true, completed: 1, failed: 1 });
    await run(stage.worker().publishResults, { ...batch, to: 'cancelled' });
    const ended = await stage.record(batch);
    assert.deepEqual([ended.status, ended.request_counts], ['cancelled', { total: 5, completed: 1, failed: 1 }]);
    const errors = await stage.resultLines(ended.error_file_id);
    assert.deepEqual(
      errors.map(({ custom_id, error }) => [custom_id, error?.code]),
      [
        ['line-1', 'batch_cancelled'],
        ['line-2', undefined],
        ['line-3', 'batch_cancelled'],
        ['line-5', 'batch_cancelled'],
      ],
    );
  });

  it('closes them as batch_expired only when the window is over', async () => {
    const batch = await stage.begin(chatLines(3));
    const [fast, slow] = [
      stage.worker({ nowMs: () => batch.expiresAtMs + 60_000 }),
      stage.worker({ nowMs: () => batch.expiresAtMs - 60_000 }),
    ];
    assert.equal((await run(fast.closeShard, { ...batch, range: range(batch) })).closed, false, "a worker's own clock does not count");
    const inTime = attempt({ currentAttemptScheduledTimestampMs: batch.expiresAtMs });
    assert.deepEqual(await inTime.run(slow.closeShard, { ...batch, range: range(batch) }), { closed: true, completed: 0, failed: 0 });
    await run(slow.publishResults, { ...batch, to: 'expired' });
    const ended = await stage.record(batch);
    assert.equal(ended.expired_at, ended.expires_at, 'not before the window ended, whatever that clock says');
    assert.deepEqual([ended.status, ended.output_file_id, ended.request_counts.failed], ['expired', null, 0]);
    assert.deepEqual(
      (await stage.resultLines(ended.error_file_id)).map(({ error }) => error?.code),
      ['batch_expired', 'batch_expired', 'batch_expired'],
    );
  });

  it('closes nothing at the end of a window that a pause has stopped', async () => {
    const batch = await stage.begin(chatLines(3));
    const worker = stage.worker({ pauseStopsWindow: true });
    await run(worker.saveBatch, { ...batch, to: null, counts: null, pause: true });
    const inTime = attempt({ currentAttemptScheduledTimestampMs: batch.expiresAtMs });
    assert.equal((await inTime.run(worker.closeShard, { ...batch, range: range(batch) })).closed, false);
    assert.equal((await run(worker.saveBatch, { ...batch, to: 'finalizing', counts: null })).status, 'in_progress');
  });

  it('closes a cancelled and an expired batch whose input is gone from the bucket, with every custom_id as it was', async () => {
    const ids = ['plain', '__proto__', 'lone \ud800', '"quoted" \\ \u0001', 'x'.repeat(512), '\u{1f319}'.repeat(512)];
    for (const ending of ['batch_cancelled', 'batch_expired'] as const) {
      const batch = await stage.begin(ids.map((id) => chatLine(id)).join('\n'));
      await stage.deps.files.dropContent(TENANT, batch.inputFileId);
      if (ending === 'batch_cancelled') await move(batch, 'cancelling');
      const closing = attempt(ending === 'batch_expired' ? { currentAttemptScheduledTimestampMs: batch.expiresAtMs } : {});
      const closed = await closing.run(stage.worker().closeShard, { ...batch, range: range(batch) });
      assert.deepEqual(closed, { closed: true, completed: 0, failed: 0 });
      await run(stage.worker().publishResults, { ...batch, to: ending === 'batch_cancelled' ? 'cancelled' : 'expired' });
      const errors = await stage.resultLines((await stage.record(batch)).error_file_id);
      assert.deepEqual(
        errors.map(({ custom_id, error }) => [custom_id, error?.code]),
        ids.map((id) => [id, ending]),
      );
    }
  });

  it('is final: a piece that comes later changes nothing', async () => {
    const batch = await stage.begin(chatLines(2));
    await putPiece(batch, '1-1-a', { line: 1, outcome: 'failed', text: 'a' }, { line: 2, outcome: 'failed', text: 'b' });
    const closed = await run(stage.worker().closeShard, { ...batch, range: range(batch) });
    await putPiece(batch, '0-1-zombie', { line: 1, outcome: 'completed', text: 'too late' });
    assert.deepEqual(await run(stage.worker().closeShard, { ...batch, range: range(batch) }), closed);
    assert.deepEqual(await objectLines((await stage.deps.pieces.getShardResult(batch.batchId, 0))?.error), ['a', 'b']);
  });

  it('lets no line count that is told after it has read the pieces, unless the shard goes on', async () => {
    const batch = await stage.begin(chatLines(3));
    await putPiece(batch, '1-1-a', { line: 1, outcome: 'completed', text: 'a' });
    await tell(batch, 1);
    const { pieces } = stage.deps;
    const zombie: PieceStore = {
      ...pieces,
      async *listPieceEntries(...given) {
        yield* pieces.listPieceEntries(...given);
        await tell(batch, 2);
      },
    };
    const closer = stage.worker({ pieces: zombie });
    assert.equal((await run(closer.closeShard, { ...batch, range: range(batch) })).closed, false);
    assert.equal(await toldOf(batch), 1);
    await tell(batch, 2);
    assert.equal(await toldOf(batch), 2, 'the shard goes on');
    await move(batch, 'cancelling');
    await run(closer.closeShard, { ...batch, range: range(batch) });
    await tell(batch, 3);
    assert.equal(await toldOf(batch), 2);
  });

  it('lets the first of two closers win, even when they saw different pieces', async () => {
    const batch = await stage.begin(chatLines(1));
    await putPiece(batch, '1-1-a', { line: 1, outcome: 'failed', text: 'seen by both' });
    const { pieces } = stage.deps;
    const [hasDecided, mayWrite] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const late: PieceStore = {
      ...pieces,
      async createShardResult(batchId, result) {
        hasDecided.resolve();
        await mayWrite.promise;
        return await pieces.createShardResult(batchId, result);
      },
    };
    const slower = run(stage.worker({ pieces: late }).closeShard, { ...batch, range: range(batch) });
    await hasDecided.promise;
    await putPiece(batch, '2-1-b', { line: 1, outcome: 'completed', text: 'seen by the first alone' });
    const first = await run(stage.worker().closeShard, { ...batch, range: range(batch) });
    mayWrite.resolve();
    assert.deepEqual(
      [first, await slower],
      [
        { closed: true, completed: 1, failed: 0 },
        { closed: true, completed: 1, failed: 0 },
      ],
    );
    assert.deepEqual(await objectLines((await pieces.getShardResult(batch.batchId, 0))?.output), ['seen by the first alone']);
  });
});

describe('publishResults', () => {
  async function closedBatch(): Promise<StagedBatch> {
    const batch = await stage.begin(scriptedInput());
    await run(stage.worker().runRequests, slice(batch, 1, 20));
    await run(stage.worker().closeShard, { ...batch, range: range(batch) });
    return batch;
  }
  const scriptedInput = () => Array.from({ length: 20 }, (_, at) => chatLine(`id-${at}`, at % 4 === 0 ? 'status=404' : '')).join('\n');

  it('publishes what was appended while shards ran, under the same ids, and counts from its end', async () => {
    const batch = await stage.begin(chatLines(2500));
    const [wide, narrow] = ['y'.repeat(6_000), 'z'.repeat(300)];
    for (const { shard, firstLine, lastLine } of batch.plan.shards) {
      await stage.deps.pieces.putPiece(
        { batchId: batch.batchId, shard, writer: '1-1-a', piece: 1 },
        Array.from({ length: lastLine - firstLine + 1 }, (_, at) => {
          const line = firstLine + at;
          const outcome = line % 5 === 0 ? ('failed' as const) : ('completed' as const);
          const text = outcome === 'failed' ? narrow : wide;
          return {
            line,
            outcome,
            usage: null,
            attempts: 1,
            milliseconds: 1,
            resultLine: Buffer.from(JSON.stringify({ custom_id: `line-${line}`, text })),
          };
        }),
      );
      await run(stage.worker().closeShard, { ...batch, range: range(batch, shard) });
    }
    const early = stage.worker({ nowMs: () => Date.now() - 7_200_000 });
    const nothing = { shards: 0, output: 0, error: 0 };
    const one = await run(early.appendResults, { ...batch, closedShards: 1, shards: 3, appended: nothing });
    assert.ok(one.output > 4_000_000 && one.error > 60_000, 'too little for a part');
    assert.equal(await stage.deps.pieces.getPublication(batch.batchId), null);
    const two = await run(early.appendResults, { ...batch, closedShards: 2, shards: 3, appended: one });
    assert.ok(two.output < 4_000_000 && two.error > 120_000);
    const ids = await stage.deps.pieces.getPublication(batch.batchId);
    assert.equal(ids?.createdAt, null);
    // As one does that comes late, or whose result was lost.
    assert.deepEqual(await run(early.appendResults, { ...batch, closedShards: 2, shards: 3, appended: nothing }), two);

    await move(batch, 'finalizing');
    await run(stage.worker().publishResults, { ...batch, to: 'completed' });
    const ended = await stage.record(batch);
    assert.deepEqual([ended.output_file_id, ended.error_file_id], [ids?.outputFileId, ids?.errorFileId]);
    for (const [fileId, isOf] of [
      [ended.output_file_id, (line: number) => line % 5 !== 0],
      [ended.error_file_id, (line: number) => line % 5 === 0],
    ] as const) {
      const lines = await stage.resultLines(fileId);
      const expected = Array.from({ length: 2500 }, (_, at) => at + 1).filter(isOf);
      assert.deepEqual(
        lines.map(({ custom_id }) => custom_id),
        expected.map((line) => `line-${line}`),
      );
      const file = await stage.deps.files.get(TENANT, fileId ?? '');
      assert.ok((file?.created_at ?? 0) > Date.now() / 1000 - 600, 'a file lives from its publishing on');
    }
    const left = await collect(stage.bucket.store.list('uploads/'));
    assert.deepEqual(left, []);
  });

  it('writes the same files when two run at once', async () => {
    const batch = await closedBatch();
    await move(batch, 'finalizing');
    const saved = await Promise.all([1, 2].map(async () => await run(stage.worker().publishResults, { ...batch, to: 'completed' })));
    assert.deepEqual(
      saved.map(({ status }) => status),
      ['completed', 'completed'],
    );
    const ended = await stage.record(batch);
    assert.deepEqual(
      [(await stage.resultLines(ended.output_file_id)).length, (await stage.resultLines(ended.error_file_id)).length],
      [15, 5],
    );
    const page = await stage.deps.files.list(TENANT, { limit: 1000, order: 'desc', after: null, purpose: 'batch_output' });
    assert.ok(page !== 'unknown_cursor');
    assert.equal(page.data.filter(({ filename }) => filename.startsWith(batch.batchId)).length, 2);
  });

  it('goes on where an attempt died after the files', async () => {
    const batch = await closedBatch();
    await move(batch, 'finalizing');
    const dying = stage.worker({ batches: { ...stage.deps.batches, update: async () => await Promise.reject(new Error('killed')) } });
    await assert.rejects(run(dying.publishResults, { ...batch, to: 'completed' }));
    assert.equal((await stage.record(batch)).status, 'finalizing');
    let uploads = 0;
    const { files } = stage.deps;
    const counting = stage.worker({
      files: { ...files, beginContent: async (...given) => (uploads++, await files.beginContent(...given)) },
    });
    await run(counting.publishResults, { ...batch, to: 'completed' });
    assert.deepEqual([(await stage.record(batch)).status, uploads], ['completed', 0]);
  });

  const filesOf = async (batch: StagedBatch) => {
    const page = await stage.deps.files.list(TENANT, { limit: 1000, order: 'desc', after: null, purpose: 'batch_output' });
    assert.ok(page !== 'unknown_cursor');
    return page.data.filter(({ filename }) => filename.startsWith(batch.batchId));
  };
  const keepFor = async ({ tenant, batchId }: StagedBatch, seconds: number) =>
    await stage.deps.batches.update(tenant, batchId, (found) => ({ ...found, output_expires_after_seconds: seconds }));

  it('gives files their whole life when an outage took that of the first ones', async () => {
    for (const [lostSeconds, isAnew] of [
      [1700, false],
      [1900, true],
      [10_000, true],
    ] as const) {
      const batch = await closedBatch();
      await keepFor(batch, 3600);
      await move(batch, 'finalizing');
      const dying = stage.worker({
        nowMs: () => Date.now() - lostSeconds * 1000,
        batches: { ...stage.deps.batches, update: async () => await Promise.reject(new Error('killed')) },
      });
      await assert.rejects(run(dying.publishResults, { ...batch, to: 'completed' }), /killed/);
      assert.equal((await run(stage.worker().publishResults, { ...batch, to: 'completed' })).status, 'completed');
      const { output_file_id, error_file_id } = await stage.record(batch);
      const named = await Promise.all([output_file_id, error_file_id].map(async (id) => await stage.deps.files.get(TENANT, id ?? '')));
      for (const file of named) {
        assert.ok(file?.expires_at);
        assert.equal(file.expires_at - file.created_at, 3600);
        assert.equal(file.created_at > Date.now() / 1000 - 600, isAnew, `${lostSeconds} s`);
      }
      assert.deepEqual((await filesOf(batch)).map(({ id }) => id).sort(), [output_file_id, error_file_id].sort());
      assert.equal((await stage.resultLines(output_file_id)).length, 15);
    }
  });

  it('lets an attempt that stood still not name the files whose time is over', async () => {
    const { files, pieces } = stage.deps;
    const batch = await closedBatch();
    await move(batch, 'finalizing');
    const zombie = stage.worker({
      files: {
        ...files,
        async createRecord(tenant, file) {
          const created = await files.createRecord(tenant, file);
          const past = await pieces.getPublication(batch.batchId);
          assert.ok(past);
          await pieces.replacePublication(batch.batchId, past, { ...past, outputFileId: newFileId(Date.now(), randomHex(12)) });
          return created;
        },
      },
    });
    await assert.rejects(run(zombie.publishResults, { ...batch, to: 'completed' }), { type: 'PublicationReplaced', nonRetryable: false });
    assert.equal((await stage.record(batch)).status, 'finalizing');
    assert.equal((await run(stage.worker().publishResults, { ...batch, to: 'completed' })).status, 'completed');
  });

  it('writes nothing over a cancel that came first, and the same files for the cancelled batch', async () => {
    const batch = await closedBatch();
    await move(batch, 'finalizing');
    await move(batch, 'cancelling');
    assert.partialDeepStrictEqual(await run(stage.worker().publishResults, { ...batch, to: 'completed' }), {
      status: 'cancelling',
      started: true,
    });
    assert.equal((await stage.record(batch)).output_file_id, null);
    assert.equal((await run(stage.worker().publishResults, { ...batch, to: 'cancelled' })).status, 'cancelled');
    const ended = await stage.record(batch);
    assert.deepEqual([ended.request_counts.completed, (await stage.resultLines(ended.output_file_id)).length], [15, 15]);
  });

  it('publishes nothing for a terminal record and leaves no marker', async () => {
    const batch = await closedBatch();
    await move(batch, 'finalizing');
    await run(stage.worker().publishResults, { ...batch, to: 'completed' });
    const before = await stage.record(batch);
    assert.equal((await run(stage.worker().publishResults, { ...batch, to: 'completed' })).status, 'completed');
    assert.deepEqual(await stage.record(batch), before);
  });

  it('refuses to publish with a shard missing', async () => {
    const batch = await stage.begin(chatLines(2));
    await assert.rejects(run(stage.worker().publishResults, { ...batch, to: 'completed' }), { type: 'ShardsMissing', nonRetryable: true });
  });
});

describe('publishResults and a bucket of the tenant', () => {
  it('waits while the bucket is away, and ends once the files are there', async () => {
    const batch = await stage.begin(chatLines(3));
    await run(stage.worker().runRequests, slice(batch, 1, 3));
    await run(stage.worker().closeShard, { ...batch, range: range(batch) });
    await move(batch, 'finalizing');
    const own = stage.bucket.connect({ bucket: `own-${randomHex(8)}` });
    const worker = stage.worker({ copies: createResultCopies({ store: stage.bucket.store, bucketOf: () => ({ store: own, uri: '' }) }) });
    await assert.rejects(
      run(worker.publishResults, { ...batch, to: 'completed' }),
      /The batch waits for the bucket of its tenant: .*does not exist/,
    );
    assert.deepEqual([(await stage.record(batch)).status, (await stage.record(batch)).output_file_id], ['finalizing', null]);
    await own.ensureBucket();
    assert.equal((await run(worker.publishResults, { ...batch, to: 'completed' })).status, 'completed');
    const { output_file_id } = await stage.record(batch);
    const copied = String((await own.get(`${batch.batchId}/output.jsonl`))?.body);
    assert.deepEqual(
      copied
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
      await stage.resultLines(output_file_id),
    );
  });
});

describe('saveBatch', () => {
  it('brings total and model with in_progress', async () => {
    const batch = await stage.begin(chatLines(4));
    const { status, model, request_counts, in_progress_at } = await stage.record(batch);
    assert.deepEqual([status, model, request_counts.total, in_progress_at !== null], ['in_progress', 'example-model', 4, true]);
  });

  it('brings the errors with failed, and takes the marker away', async () => {
    const batch = await stage.submit('{"custom_id": 1}\n{');
    await run(stage.worker().validateInput, batch);
    assert.partialDeepStrictEqual(await run(stage.worker().saveBatch, { ...batch, to: 'failed', counts: null }), {
      status: 'failed',
      started: false,
    });
    const { errors, failed_at, request_counts } = await stage.record(batch);
    assert.deepEqual([errors?.object, errors?.data.at(-1)?.code, request_counts.total], ['list', 'invalid_json_line', 0]);
    assert.ok(failed_at !== null);
    assert.ok(!(await collect(stage.deps.batches.listOpen())).some(({ id }) => id === batch.batchId));
  });

  it('ends a batch that never started, cancelled or expired', async () => {
    const cancelled = await stage.submit(chatLines(1));
    await move(cancelled, 'cancelling');
    assert.partialDeepStrictEqual(await run(stage.worker().saveBatch, { ...cancelled, to: 'cancelled', counts: null }), {
      status: 'cancelled',
      started: false,
    });
    const expired = await stage.submit(chatLines(1));
    assert.partialDeepStrictEqual(await run(stage.worker().saveBatch, { ...expired, to: 'expired', counts: null }), {
      status: 'expired',
      started: false,
    });
  });

  it('never ends a batch that has started: its results are to be published first', async () => {
    const batch = await stage.begin(chatLines(1));
    assert.partialDeepStrictEqual(await run(stage.worker().saveBatch, { ...batch, to: 'expired', counts: null }), {
      status: 'in_progress',
      started: true,
    });
    await move(batch, 'cancelling');
    assert.partialDeepStrictEqual(await run(stage.worker().saveBatch, { ...batch, to: 'cancelled', counts: null }), {
      status: 'cancelling',
      started: true,
    });
  });

  it('writes nothing where the move is illegal, and only reads when asked to', async () => {
    const batch = await stage.begin(chatLines(1));
    const before = await stage.record(batch);
    assert.equal((await run(stage.worker().saveBatch, { ...batch, to: 'failed', counts: null })).status, 'in_progress');
    assert.equal((await run(stage.worker().saveBatch, { ...batch, to: null, counts: null })).status, 'in_progress');
    assert.deepEqual(await stage.record(batch), before);
  });

  it('raises the counts with finalizing', async () => {
    const batch = await stage.begin(chatLines(3));
    await run(stage.worker().saveBatch, { ...batch, to: 'finalizing', counts: { completed: 2, failed: 1 } });
    assert.deepEqual((await stage.record(batch)).request_counts, { total: 3, completed: 2, failed: 1 });
  });

  it('fails for good when there is no record', async () => {
    const unknown = { tenant: TENANT, batchId: `batch_${randomHex(32)}`, to: null, counts: null };
    await assert.rejects(attempt().run(stage.worker().saveBatch, unknown), { type: 'BatchUnknown', nonRetryable: true });
  });
});

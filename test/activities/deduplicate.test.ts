import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { linesIn } from '../../src/domain/line-ranges.ts';
import { run, slice, type Stage, type StagedBatch, startStage } from './stage.ts';
import type { Accepted } from './stage.ts';

let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(async () => await stage[Symbol.asyncDispose]());

/** Requests with the same text, and script, are equal. */
function line(customId: string, text: string, script = ''): string {
  const body = { model: 'example-model', messages: [{ role: 'user', content: text }], user: `marker=${text};${script}` };
  return JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/chat/completions', body });
}

type Planned = StagedBatch & { plan: Accepted };

async function begin(input: string, deduplicate = 'true'): Promise<Planned> {
  const batch = await stage.submit(input);
  await stage.deps.batches.update(batch.tenant, batch.batchId, (found) => ({
    ...found,
    batch: { ...found.batch, metadata: { nightshift_deduplicate: deduplicate } },
  }));
  // Small segments, so that a later attempt goes on with what the first has written.
  const plan = await run(stage.worker({ segmentSize: { requests: 500, bytes: 1e9 } }).validateInput, batch);
  assert.equal(plan.verdict, 'accepted');
  await run(stage.worker().saveBatch, { ...batch, to: 'in_progress', counts: null });
  return { ...batch, plan: plan as Accepted };
}

/** Sends what the workflow of the shard hands out; `only` some of it. */
async function send(batch: Planned, shard: number, only: (line: number) => boolean = () => true): Promise<number[]> {
  const parts = await run(stage.worker().readShard, { batchId: batch.batchId, shard });
  const lines = [...linesIn(parts.find(({ upstream }) => upstream === 0)?.lines ?? [])].filter(only);
  for (const each of lines) {
    await run(stage.worker().runRequests, slice(batch, each, each, { shard, mixed: { upstream: 0, lines: 1 } }));
  }
  return lines;
}

const close = async (batch: Planned, shard: number) => {
  const range = batch.plan.shards[shard];
  assert.ok(range);
  return await run(stage.worker().closeShard, { ...batch, range });
};

async function publish(batch: Planned, to: 'completed' | 'cancelled') {
  if (to === 'completed') await run(stage.worker().saveBatch, { ...batch, to: 'finalizing', counts: null });
  await run(stage.worker().publishResults, { ...batch, to });
  const record = await stage.record(batch);
  const [output, errors] = [await stage.resultLines(record.output_file_id), await stage.resultLines(record.error_file_id)];
  return { record, output, errors };
}

const idsOf = (lines: { custom_id: string }[]) => lines.map(({ custom_id }) => custom_id);

describe('equal requests of a batch with nightshift_deduplicate', () => {
  it('are sent once, and each gets the answer under its own custom_id and id, across shards', async () => {
    const many = Array.from({ length: 1998 }, (_, at) => line(`c${at}`, at % 2 === 0 ? 'first' : 'bad', at % 2 === 0 ? '' : 'status=400'));
    const batch = await begin([line('x', 'first'), line('y', 'bad', 'status=400'), ...many, line('z', 'other')].join('\n'));
    assert.deepEqual(
      batch.plan.shards.map(({ requests, copies }) => [requests, copies]),
      [
        [1000, 998],
        [1000, 1000],
        [1, undefined],
      ],
    );
    // The second shard has nothing to send, and waits for the first.
    assert.deepEqual(await send(batch, 1), []);
    assert.deepEqual(await close(batch, 1), { closed: false, missing: [] });
    assert.deepEqual(await send(batch, 0), [1, 2]);
    // Completed answers count at once, and failed ones when no attempt can better them.
    assert.deepEqual(await close(batch, 1), { closed: false, missing: [] });
    assert.deepEqual(await close(batch, 0), { closed: true, completed: 500, failed: 500 });
    assert.deepEqual(await close(batch, 1), { closed: true, completed: 500, failed: 500 });
    await run(stage.worker().runRequests, slice(batch, 2001, 2001, { shard: 2 }));
    await close(batch, 2);

    const { record, output, errors } = await publish(batch, 'completed');
    assert.deepEqual(idsOf(output), ['x', ...Array.from({ length: 999 }, (_, at) => `c${2 * at}`), 'z']);
    assert.deepEqual(idsOf(errors), ['y', ...Array.from({ length: 999 }, (_, at) => `c${2 * at + 1}`)]);
    assert.equal(new Set([...output, ...errors].map(({ id }) => id)).size, 2001);
    assert.equal(new Set(output.slice(0, -1).map(({ response }) => JSON.stringify(response))).size, 1);
    assert.deepEqual(record.request_counts, { total: 2001, completed: 1001, failed: 1000 });
    assert.equal(record.nightshift?.deduplicated, 1998);
    assert.deepEqual(record.nightshift?.failures, [
      {
        status: 400,
        code: 'invalid_request_error',
        message: 'This request was scripted to end with status 400.',
        lines: 1000,
        example: 'y',
        custom_ids: ['y', 'c1', 'c3'],
      },
    ]);
    const calls = ['first', 'bad', 'other'].map((marker) => stage.upstream.calls.get(marker)?.length);
    assert.deepEqual(calls, [1, 1, 1]);
    const usages = [output[0], output.at(-1)].map((each) => Number(Object(each?.response?.body).usage.total_tokens));
    assert.equal(record.usage.total_tokens, (usages[0] ?? 0) + (usages[1] ?? 0));
  });

  it('are cancelled with the first one if that is not answered, and answered if it is', async () => {
    const pairs = Array.from({ length: 1100 }, (_, at) => line(`p${at}`, `cancelled-${at % 3}`));
    const batch = await begin(pairs.join('\n'));
    await send(batch, 0, (each) => each === 2);
    await run(stage.worker().saveBatch, { ...batch, to: 'cancelling', counts: null });
    // The first shard is still open: its answers count all the same.
    assert.deepEqual(await close(batch, 1), { closed: true, completed: 34, failed: 0 });
    assert.deepEqual(await close(batch, 0), { closed: true, completed: 333, failed: 0 });
    const { record, output, errors } = await publish(batch, 'cancelled');
    assert.deepEqual([output.length, errors.length], [367, 733]);
    assert.ok(output.every(({ custom_id }) => Number(custom_id.slice(1)) % 3 === 1));
    assert.ok(errors.every(({ error }) => error?.code === 'batch_cancelled'));
    assert.deepEqual(record.nightshift, { deduplicated: 366 });
  });

  it('are only those whose bodies have the same bytes, and only where it is asked for', async () => {
    const spaced = line('c', 'same').replace('"model":', '"model": ');
    const batch = await begin([line('a', 'same'), line('b', 'same', 'x=1'), spaced, line('d', 'same')].join('\n'));
    assert.deepEqual(await send(batch, 0, () => false), []);
    const lines = await stage.deps.pieces.getPlanShard(batch.batchId, 0);
    assert.deepEqual(
      lines?.lines.map(({ copyOf }) => copyOf ?? null),
      [null, null, null, 1],
    );
    const plain = await begin([line('a', 'same'), line('b', 'same')].join('\n'), 'false');
    assert.equal(plain.plan.shards[0]?.copies, undefined);
  });
});

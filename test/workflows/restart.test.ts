import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowNotFoundError } from '@temporalio/client';
import { type LineRange, linesIn } from '../../src/domain/line-ranges.ts';
import type { RunRequestsInput } from '../../workflows/contract.ts';
import { detailsOf, type Engine, startEngine } from './engine.ts';
import { createModel, type Fate, gate, type Model, until } from './model.ts';

/** A batch whose lines from `heldFrom` on wait for the gate. */
function held(shards: number[], heldFrom: number): { model: Model; open: () => void } {
  const { wait, open } = gate();
  const model = createModel({
    shards,
    fate: async (line): Promise<Fate> => {
      if (line >= heldFrom) await wait();
      return 'completed';
    },
  });
  return { model, open };
}

/** The lines of these slices, a line as often as it was handed out. */
function linesOf(slices: readonly RunRequestsInput[]): number[] {
  return [...linesIn(slices.map(({ firstLine, lastLine }): LineRange => [firstLine, lastLine]))].toSorted((a, b) => a - b);
}

describe('a run that is lost', () => {
  let engine: Engine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
  });

  it('of a shard: the batch starts it again, and it sends what has no piece', async () => {
    const { model, open } = held([4, 4], 7);
    const handle = await engine.start(model);
    await until('the second shard is half done', () => model.outcomes.size === 6);
    await engine.client.workflow.getHandle(`${model.id}/shard-0001`).terminate('test');
    await until('it sends again', () => linesOf(model.slices.filter(({ contested }) => contested)).length === 2);
    open();
    assert.equal(await handle.result(), 'completed');
    assert.deepEqual(model.record.request_counts, { total: 8, completed: 8, failed: 0 });
    assert.deepEqual(model.listings, [1]);
    assert.deepEqual(linesOf(model.slices.filter(({ shard, contested }) => shard === 1 && contested)), [7, 8]);
    assert.ok(model.slices.every(({ resumed }) => !resumed));
  });

  it('of a shard, cancelled by hand: it stops unclosed, and the batch starts it again', async () => {
    const { model, open } = held([4], 3);
    const handle = await engine.start(model);
    await until('half of it is done', () => model.outcomes.size === 2 && model.inFlight.size === 2);
    await engine.client.workflow.getHandle(`${model.id}/shard-0000`).cancel();
    await until('it is sent again', () => model.slices.some(({ contested }) => contested));
    open();
    assert.equal(await handle.result(), 'completed');
    assert.equal(model.record.status, 'completed');
  });

  it('of a shard, because its history has grown long: it hands out nothing more, and begins again', async () => {
    // None of its lines has a piece at first, so they go out once more, each alone: far more than 60 events.
    const fate = (_line: number, attempt: number): Fate => (attempt === 1 ? 'lost' : 'completed');
    const model = createModel({ shards: [200], policy: { linesPerActivity: 100, longHistoryEvents: 60 }, fate });
    assert.equal(await (await engine.start(model)).result(), 'completed');
    assert.deepEqual(model.record.request_counts, { total: 200, completed: 200, failed: 0 });
    const alone = model.slices.filter(({ firstLine, lastLine }) => firstLine === lastLine).length;
    assert.ok(alone > 0 && alone < 200, `${alone} lines went out alone before it was over`);
    // The second run sends what the first has not stored, and nothing twice.
    assert.deepEqual(model.listings, [0]);
    assert.equal(linesOf(model.slices).length, 400);
    const ended: string[] = [];
    for await (const { status } of engine.client.workflow.list({ query: `WorkflowId = '${model.id}/shard-0000'` })) ended.push(status.name);
    assert.deepEqual(ended, ['COMPLETED', 'COMPLETED']);
  });

  it('of a batch: a new one goes on where it was, without the closed shards', async () => {
    const { model, open } = held([4, 4, 4], 7);
    const first = await engine.start(model);
    await until('the first shard is closed', () => model.closedShards.size === 1 && model.outcomes.size === 6);
    await first.terminate('test');
    const slicesOfFirst = model.slices.length;
    const second = await engine.start(model);
    await until('the second run sends', () => model.slices.some(({ contested }) => contested));
    open();
    assert.equal(await second.result(), 'completed');
    assert.deepEqual(model.listings.toSorted(), [1, 2]);
    assert.deepEqual(model.statuses, ['validating', 'in_progress', 'finalizing', 'completed']);
    assert.deepEqual(model.record.request_counts, { total: 12, completed: 12, failed: 0 });
    const later = model.slices.slice(slicesOfFirst);
    assert.deepEqual(
      later.filter(({ shard }) => shard === 0),
      [],
    );
    assert.ok(
      linesOf(later.filter(({ contested }) => contested)).every((line) => line >= 7),
      'what has a piece is not sent again',
    );
  });

  it('of a batch for two upstreams: each goes on with its own lines that have no piece', async () => {
    const { wait, open } = gate();
    const upstreamOf = (line: number) => (line % 2 === 0 ? 1 : 0);
    const fate = async (line: number): Promise<Fate> => {
      if (line > 4) await wait();
      return line === 3 ? 'failed' : 'completed';
    };
    const model = createModel({ shards: [8], upstreamOf, fate, policy: { linesPerActivity: 1 } });
    const first = await engine.start(model);
    await until('half of it is done', () => model.outcomes.size === 4 && model.inFlight.size === 4);
    await first.terminate('test');
    const slicesOfFirst = model.slices.length;
    const second = await engine.start(model);
    const shard = engine.client.workflow.getHandle(`${model.id}/shard-0000`);
    await until('the second run sends', () => model.slices.length === slicesOfFirst + 4);
    // A worker of the first run may still answer the line that failed, and counts never step back.
    assert.match(await detailsOf(shard), /- 3 completed and 0 failed of 8,/);
    open();
    assert.equal(await second.result(), 'completed');
    assert.deepEqual(model.record.request_counts, { total: 8, completed: 7, failed: 1 });
    assert.deepEqual(model.listings, [0]);
    const sent = model.slices.slice(slicesOfFirst).map(({ upstream, firstLine, lastLine }) => [upstream, firstLine, lastLine]);
    assert.deepEqual(
      sent.toSorted(([, a], [, b]) => Number(a) - Number(b)),
      [
        ['main', 5, 5],
        ['other', 6, 6],
        ['main', 7, 7],
        ['other', 8, 8],
      ],
    );
  });

  it('of a batch that is being cancelled: a new one ends it', async () => {
    const { model, open } = held([4, 4], 3);
    const first = await engine.start(model);
    await until('two lines are answered', () => model.outcomes.size === 2);
    await first.terminate('test');
    model.requestCancel();
    assert.equal(await (await engine.start(model)).result(), 'cancelled');
    open();
    assert.deepEqual(model.published, ['cancelled']);
    assert.equal(model.closedShards.size, 2);
  });

  it('of a batch takes its shards with it', async () => {
    const { model, open } = held([4], 1);
    const handle = await engine.start(model);
    await until('lines are on the wire', () => model.inFlight.size > 0);
    await handle.terminate('test');
    const shard = engine.client.workflow.getHandle(`${model.id}/shard-0000`);
    await until('the shard is terminated', async () => (await shard.describe()).status.name === 'TERMINATED');
    await assert.rejects(shard.signal('cancel'), WorkflowNotFoundError);
    open();
  });

  it('decides the same when its history is replayed', async () => {
    const { replayed, errors } = await engine.replay();
    assert.deepEqual(errors, []);
    assert.ok(replayed >= 10, `${replayed} histories`);
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowNotFoundError } from '@temporalio/client';
import { type Engine, startEngine } from './engine.ts';
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

describe('a run that is lost', () => {
  let engine: Engine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
  });

  it('of a shard: the batch starts it again, and it looks for pieces', async () => {
    const { model, open } = held([4, 4], 7);
    const handle = await engine.start(model);
    await until('the second shard is half done', () => model.outcomes.size === 6);
    await engine.client.workflow.getHandle(`${model.id}/shard-0001`).terminate('test');
    open();
    assert.equal(await handle.result(), 'completed');
    assert.deepEqual(model.record.request_counts, { total: 8, completed: 8, failed: 0 });
    const again = model.slices.filter(({ shard, resumed }) => shard === 1 && resumed);
    assert.ok(again.length > 0, 'it looks for pieces');
  });

  it('of a shard, cancelled by hand: it stops unclosed, and the batch starts it again', async () => {
    const { model, open } = held([4], 3);
    const handle = await engine.start(model);
    await until('half of it is done', () => model.outcomes.size === 2 && model.inFlight.size === 2);
    await engine.client.workflow.getHandle(`${model.id}/shard-0000`).cancel();
    await until('it is sent again', () => model.slices.some(({ resumed }) => resumed));
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
    const last = model.slices.slice(-2).map(({ firstLine, lastLine, resumed }) => [firstLine, lastLine, resumed]);
    assert.deepEqual(
      last.toSorted(([a], [b]) => Number(a) - Number(b)),
      [
        [1, 100, true],
        [101, 200, true],
      ],
    );
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
    await until('the second run sends', () => model.slices.some(({ resumed }) => resumed));
    open();
    assert.equal(await second.result(), 'completed');
    assert.deepEqual(model.statuses, ['validating', 'in_progress', 'finalizing', 'completed']);
    assert.deepEqual(model.record.request_counts, { total: 12, completed: 12, failed: 0 });
    const later = model.slices.slice(slicesOfFirst);
    assert.deepEqual(
      later.filter(({ shard }) => shard === 0),
      [],
    );
    // Slices that the first run had queued may still come up among them.
    assert.ok(
      later.some(({ resumed }) => resumed),
      'the second run looks for pieces',
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

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { CANCEL_SIGNAL } from '../../workflows/contract.ts';
import { type Engine, startEngine } from './engine.ts';
import { createModel, type Fate, gate, type Model, until } from './model.ts';

/** Lines 1–3 are answered, the others never are. */
async function onlyThree(line: number): Promise<Fate> {
  return line <= 3 ? 'completed' : await new Promise<Fate>(() => undefined);
}

async function cancel(model: Model, handle: WorkflowHandle): Promise<void> {
  model.requestCancel();
  await handle.signal(CANCEL_SIGNAL);
}

/** What Temporal showed as the status of a batch, one after the other. */
async function statusesShown(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).flatMap(({ upsertWorkflowSearchAttributesEventAttributes: upserted }) => {
    const data = upserted?.searchAttributes?.indexedFields?.['BatchStatus']?.data;
    return data ? [String(JSON.parse(new TextDecoder().decode(data)))] : [];
  });
}

describe('the end of a batch', () => {
  let engine: Engine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
  });

  describe('cancel', () => {
    it('before the first task ends without files', async () => {
      const model = createModel({ shards: [5] });
      model.requestCancel();
      const handle = await engine.start(model);
      await handle.signal(CANCEL_SIGNAL);
      assert.equal(await handle.result(), 'cancelled');
      assert.deepEqual(model.statuses, ['validating', 'cancelling', 'cancelled']);
      assert.deepEqual([model.slices, model.published], [[], []]);
    });

    it('while validating ends at once, without files', async () => {
      const held = gate();
      const model = createModel({ shards: [5], before: { validateInput: held.wait } });
      const handle = await engine.start(model);
      await until('validation runs', () => model.validations.count === 1);
      await cancel(model, handle);
      assert.equal(await handle.result(), 'cancelled');
      held.open();
      assert.deepEqual(model.statuses, ['validating', 'cancelling', 'cancelled']);
      assert.deepEqual(model.published, []);
    });

    it('while in progress keeps what is there and closes every shard, touched or not', async () => {
      const model = createModel({ shards: [5, 5, 5, 5, 5, 5], fate: onlyThree, policy: { linesPerActivity: 5 } });
      const handle = await engine.start(model);
      await until('line 4 is on the wire', () => model.inFlight.has(4));
      await cancel(model, handle);
      assert.equal(await handle.result(), 'cancelled');
      assert.deepEqual(model.statuses, ['validating', 'in_progress', 'cancelling', 'cancelled']);
      assert.deepEqual(model.published, ['cancelled']);
      const closed = [...model.closedShards].toSorted(([a], [b]) => a - b).map(([, counts]) => counts);
      const untouched = { completed: 0, failed: 0, unrun: 5 };
      assert.deepEqual(closed, [{ completed: 3, failed: 0, unrun: 2 }, ...Array.from({ length: 5 }, () => untouched)]);
      assert.equal(model.inFlight.size, 0);
    });

    it('of which the record knows nothing changes nothing', async () => {
      const held = gate();
      const model = createModel({
        shards: [4],
        fate: async (): Promise<Fate> => {
          await held.wait();
          return 'completed';
        },
      });
      const handle = await engine.start(model);
      await until('lines are on the wire', () => model.inFlight.size > 0);
      await handle.signal(CANCEL_SIGNAL);
      held.open();
      assert.equal(await handle.result(), 'completed');
      assert.equal(model.outcomes.size, 4);
    });

    it('reads the record for the first call only, however often it is repeated', async () => {
      const held = gate();
      const model = createModel({ shards: [4], fate: onlyThree, before: { publishResults: held.wait } });
      let reads = 0;
      const { saveBatch } = model.activities;
      model.activities.saveBatch = async (input) => {
        reads += input.to === null ? 1 : 0;
        return await saveBatch(input);
      };
      const handle = await engine.start(model);
      await until('line 4 is on the wire', () => model.inFlight.has(4));
      await cancel(model, handle);
      await until('results are being published', () => model.published.length === 1);
      const before = reads;
      for (let i = 0; i < 5; i += 1) await handle.signal(CANCEL_SIGNAL);
      held.open();
      assert.equal(await handle.result(), 'cancelled');
      assert.equal(reads, before);
    });

    it('does not take a status back when the answer of a read comes late', async () => {
      const [answers, late, published] = [gate(), gate(), gate()];
      const fate = async (): Promise<Fate> => (await answers.wait(), 'completed');
      const model = createModel({ shards: [4], fate, before: { publishResults: published.wait } });
      const { saveBatch } = model.activities;
      let reads: 'none' | 'held' | 'answered' = 'none';
      model.activities.saveBatch = async (input) => {
        const saved = await saveBatch(input);
        if (input.to !== null || model.inFlight.size === 0) return saved;
        reads = 'held';
        await late.wait();
        reads = 'answered';
        return saved;
      };
      const handle = await engine.start(model);
      await until('lines are on the wire', () => model.inFlight.size > 0);
      await handle.signal(CANCEL_SIGNAL);
      await until('the record is read', () => reads === 'held');
      answers.open();
      await until('results are being published', () => model.published.length === 1);
      late.open();
      await until('the read is answered', () => reads === 'answered');
      await until('the workflow has the answer', async () => (await handle.describe()).raw.pendingActivities?.length === 1);
      published.open();
      assert.equal(await handle.result(), 'completed');
      assert.deepEqual(await statusesShown(handle), ['validating', 'in_progress', 'finalizing', 'completed']);
    });

    it('while finalizing publishes as cancelled', async () => {
      const held = gate();
      const model = createModel({ shards: [4], before: { publishResults: held.wait } });
      const handle = await engine.start(model);
      await until('results are being published', () => model.published.length === 1);
      await cancel(model, handle);
      held.open();
      assert.equal(await handle.result(), 'cancelled');
      assert.deepEqual(model.statuses, ['validating', 'in_progress', 'finalizing', 'cancelling', 'cancelled']);
      assert.deepEqual(model.published, ['completed', 'cancelled']);
    });

    it('between the last line and finalizing publishes as cancelled', async () => {
      const model: Model = createModel({
        shards: [4],
        // The record says so, but the signal never came.
        before: { closeShard: async () => model.requestCancel() },
      });
      assert.equal(await (await engine.start(model)).result(), 'cancelled');
      assert.deepEqual(model.statuses, ['validating', 'in_progress', 'cancelling', 'cancelled']);
      assert.deepEqual(model.published, ['cancelled']);
    });
  });

  describe('cancellation of the workflow itself', () => {
    it('moves the record, publishes what is there, and shows Cancelled', async () => {
      const model = createModel({ shards: [5, 5, 5], fate: onlyThree });
      const handle = await engine.start(model);
      await until('three lines are answered', () => model.outcomes.size === 3);
      await handle.cancel();
      await assert.rejects(handle.result(), WorkflowFailedError);
      assert.equal((await handle.describe()).status.name, 'CANCELLED');
      assert.deepEqual(model.statuses, ['validating', 'in_progress', 'cancelling', 'cancelled']);
      assert.deepEqual(model.published, ['cancelled']);
      assert.equal(model.closedShards.size, 3);
    });

    it('while validating ends without files', async () => {
      const held = gate();
      const model = createModel({ shards: [5], before: { validateInput: held.wait } });
      const handle = await engine.start(model);
      await until('validation runs', () => model.validations.count === 1);
      await handle.cancel();
      await assert.rejects(handle.result(), WorkflowFailedError);
      held.open();
      assert.deepEqual(model.statuses, ['validating', 'cancelling', 'cancelled']);
    });
  });

  describe('of more shards than one history holds', () => {
    for (const how of ['cancelled', 'expired'] as const) {
      it(`closes them in several runs when it is ${how}`, async () => {
        const longHistoryEvents = 150;
        const shards = Array.from({ length: 200 }, () => 5);
        const policy = { longHistoryEvents, linesPerActivity: 5 };
        let handedOut = 0;
        // Of the first run: a later one begins with the plan.
        const validateInput = async () => void (model.validations.count === 2 && (handedOut = model.slices.length));
        const windowMs = how === 'expired' ? 6_000 : 60_000;
        const model: Model = createModel({ shards, fate: onlyThree, policy, windowMs, before: { validateInput } });
        const handle = await engine.start(model);
        await until('lines are on the wire', () => model.inFlight.has(4));
        if (how === 'cancelled') await cancel(model, handle);
        assert.equal(await handle.result(), how);
        assert.deepEqual([model.closedShards.size, model.published], [200, [how]]);
        assert.equal(model.slices.length, handedOut, 'a later run hands out nothing');
        const lengths: number[] = [];
        for await (const run of engine.client.workflow.list({ query: `WorkflowId = '${model.id}'` })) lengths.push(run.historyLength);
        assert.ok(lengths.length >= 3, `${lengths.length} runs`);
        // The oldest run, which comes last, has opened shards as well.
        assert.ok(Math.max(...lengths.slice(0, -1)) < 2 * longHistoryEvents, `runs of ${lengths.join(', ')} events`);
      });
    }
  });

  describe('of a batch that an earlier run had started', () => {
    for (const how of ['cancelled', 'expired'] as const) {
      it(`publishes when it is ${how} while validating, because the write of the earlier run came late`, async () => {
        const held = gate();
        const model: Model = createModel({
          shards: [5],
          windowMs: how === 'expired' ? 3_000 : 60_000,
          before: { validateInput: async () => (model.validations.count === 1 ? await held.wait() : undefined) },
        });
        const handle = await engine.start(model);
        await until('validation runs', () => model.validations.count === 1);
        await model.activities.saveBatch({ tenant: 'acme', batchId: model.id, to: 'in_progress', counts: null });
        if (how === 'cancelled') await cancel(model, handle);
        assert.equal(await handle.result(), how);
        held.open();
        assert.deepEqual([model.published, model.validations.count, model.closedShards.size], [[how], 2, 1]);
      });
    }

    it('fails when its plan is gone, and sends nothing', async () => {
      const model = createModel({ shards: [5] });
      await model.activities.saveBatch({ tenant: 'acme', batchId: model.id, to: 'in_progress', counts: null });
      model.isPlanGone = true;
      const failure = await (await engine.start(model)).result().catch((error: unknown) => error);
      assert.ok(failure instanceof WorkflowFailedError);
      assert.match(String(failure.cause), /The batch is in_progress, but its plan is gone from work\/batch_/);
      assert.deepEqual(model.slices, []);
    });

    it('ends when its plan is gone because an earlier run has published meanwhile', async () => {
      const model: Model = createModel({
        shards: [5],
        before: { validateInput: async () => void (model.record = { ...model.record, status: 'completed' }) },
      });
      await model.activities.saveBatch({ tenant: 'acme', batchId: model.id, to: 'in_progress', counts: null });
      model.isPlanGone = true;
      assert.equal(await (await engine.start(model)).result(), 'completed');
      assert.deepEqual(model.slices, []);
    });
  });

  describe('expiry', () => {
    it('publishes what is there', async () => {
      const model = createModel({ shards: [5, 5, 5], fate: onlyThree, windowMs: 8_000 });
      assert.equal(await (await engine.start(model)).result(), 'expired');
      assert.deepEqual(model.statuses, ['validating', 'in_progress', 'expired']);
      assert.deepEqual(model.published, ['expired']);
      const closed = [...model.closedShards.values()];
      assert.equal(
        closed.reduce((sum, { completed }) => sum + completed, 0),
        3,
      );
      assert.equal(
        closed.reduce((sum, { unrun }) => sum + unrun, 0),
        12,
      );
    });

    it('is the end of a batch whose shard was closed by a worker with a faster clock', async () => {
      const model = createModel({ shards: [3] });
      model.activities.closeShard = async ({ range }) => {
        model.closedShards.set(range.shard, { completed: 2, failed: 0, unrun: 1 });
        return { closed: true, completed: 2, failed: 0 };
      };
      assert.equal(await (await engine.start(model)).result(), 'expired');
      assert.deepEqual(model.statuses, ['validating', 'in_progress', 'expired']);
    });

    it('while validating ends without files', async () => {
      const held = gate();
      const model = createModel({ shards: [5], windowMs: 1_000, before: { validateInput: held.wait } });
      assert.equal(await (await engine.start(model)).result(), 'expired');
      held.open();
      assert.deepEqual(model.statuses, ['validating', 'expired']);
    });

    it('is ignored while finalizing', async () => {
      const model: Model = createModel({
        shards: [2],
        windowMs: 6_000,
        before: { publishResults: async () => await until('the window has ended', () => Date.now() > model.input.expiresAtMs + 300) },
      });
      assert.equal(await (await engine.start(model)).result(), 'completed');
    });

    it('is overtaken by a cancel that comes while results are published', async () => {
      const held = gate();
      const model = createModel({ shards: [5], fate: onlyThree, windowMs: 6_000, before: { publishResults: held.wait } });
      const handle = await engine.start(model);
      await until('results are being published', () => model.published.length === 1);
      await cancel(model, handle);
      held.open();
      assert.equal(await handle.result(), 'cancelled');
      assert.deepEqual(model.published, ['expired', 'cancelled']);
    });
  });

  it('decides the same when its history is replayed', async () => {
    const { replayed, errors } = await engine.replay();
    assert.deepEqual(errors, []);
    assert.ok(replayed >= 10, `${replayed} histories`);
  });
});

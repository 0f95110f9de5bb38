import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationFailure } from '@temporalio/activity';
import { CANCEL_SIGNAL, type Progress } from '../../workflows/contract.ts';
import { detailsOf, type Engine, startEngine } from './engine.ts';
import { createModel, type Fate, gate, type Model, until } from './model.ts';

/** How often each line was handed to an activity. */
function timesHandedOut(model: Model): Map<number, number> {
  const times = new Map<number, number>();
  for (const { firstLine, lastLine } of model.slices) {
    for (let line = firstLine; line <= lastLine; line++) times.set(line, (times.get(line) ?? 0) + 1);
  }
  return times;
}

describe('batch', () => {
  let engine: Engine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
  });

  it('runs every line of every shard once and completes', async () => {
    const model = createModel({ shards: [60, 60, 60, 20], fate: (line) => (line % 10 === 0 ? 'failed' : 'completed') });
    const status = await (await engine.start(model)).result();
    assert.equal(status, 'completed');
    assert.deepEqual(model.statuses, ['validating', 'in_progress', 'finalizing', 'completed']);
    assert.deepEqual(model.record.request_counts, { total: 200, completed: 180, failed: 20 });
    assert.equal(model.outcomes.size, 200);
    assert.deepEqual([...new Set(timesHandedOut(model).values())], [1]);
    assert.ok(model.slices.length < 150, `slices grow with the pace, yet there were ${model.slices.length}`);
  });

  it('says in the Temporal UI what it is about', async () => {
    const model = createModel({ shards: [2] });
    const handle = await engine.start(model);
    await handle.result();
    const { searchAttributes } = await handle.describe();
    assert.deepEqual(
      [searchAttributes['BatchStatus'], searchAttributes['BatchModel'], searchAttributes['BatchTenant']],
      [['completed'], ['gpt-test'], ['acme']],
    );
    const { events } = await engine.client.workflow.getHandle(`${model.id}/shard-0000`).fetchHistory();
    const summaries = (events ?? [])
      .filter((event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'runRequests')
      .map((event) => new TextDecoder().decode(event.userMetadata?.summary?.data ?? undefined));
    assert.deepEqual(summaries, ['"line 1"', '"line 2"']);
  });

  it('shows its progress above the history, and its shards theirs, without an event for it', async () => {
    const { wait, open } = gate();
    const model = createModel({
      shards: [4],
      policy: { linesPerActivity: 1 },
      fate: async (line): Promise<Fate> => {
        if (line > 3) await wait();
        return line === 3 ? 'failed' : 'completed';
      },
    });
    const handle = await engine.start(model);
    const shard = engine.client.workflow.getHandle(`${model.id}/shard-0000`);
    await until('three lines are answered', () => model.outcomes.size === 3);
    await until('the shard says so', async () => (await detailsOf(shard)).includes('- 2 completed and 1 failed of 4, 1 out\n'));
    assert.match(await detailsOf(shard), /^\*\*handing out\*\*\n.*\n- lines 1–4, upstream main, \d+ ms per request, lead \d+$/);
    const ofBatch = await detailsOf(handle);
    assert.match(
      ofBatch,
      /^\*\*in_progress\*\*\n- 0 completed and 0 failed of 4 in closed shards; open ones show theirs\n- 1 of 1 shards open: 0\n/,
    );
    assert.match(ofBatch, /- model gpt-test$/);
    open();
    await handle.result();
    assert.match(await detailsOf(handle), /^\*\*completed\*\*\n- 3 completed and 1 failed of 4 /);
    assert.match(await detailsOf(shard), /^\*\*closing\*\*\n- 3 completed and 1 failed of 4, 0 out\n/);
    const events = [...((await handle.fetchHistory()).events ?? []), ...((await shard.fetchHistory()).events ?? [])];
    const told = events.filter((event) => event.upsertWorkflowSearchAttributesEventAttributes);
    assert.equal(told.length, 5, 'four statuses and the model');
    assert.ok(!events.some((event) => event.workflowPropertiesModifiedEventAttributes ?? event.markerRecordedEventAttributes));
  });

  it('fails when the input is refused', async () => {
    const model = createModel({ shards: [], refused: true });
    assert.equal(await (await engine.start(model)).result(), 'failed');
    assert.deepEqual(model.statuses, ['validating', 'failed']);
    assert.deepEqual(model.published, []);
  });

  it('ends at once when the record is terminal', async () => {
    const model = createModel({ shards: [1] });
    model.requestCancel();
    await model.activities.saveBatch({ tenant: 'acme', batchId: model.id, to: 'cancelled', counts: null });
    assert.equal(await (await engine.start(model)).result(), 'cancelled');
    assert.equal(model.validations.count, 0);
  });

  it('hands a line with faults out again, alone, with its faults and after a backoff', async () => {
    const faults = new Map([
      [3, 2],
      [7, 1],
    ]);
    const model = createModel({
      shards: [10],
      policy: { linesPerActivity: 5 },
      fate: (line, attempt): Fate => (attempt <= (faults.get(line) ?? 0) ? 'fault' : 'completed'),
    });
    const startedAt = Date.now();
    await (await engine.start(model)).result();
    const ofLine3 = model.slices.filter(({ firstLine, lastLine }) => firstLine <= 3 && lastLine >= 3);
    assert.deepEqual(
      ofLine3.map(({ firstLine, lastLine, faults }) => [firstLine, lastLine, faults]),
      [
        [1, 5, 0],
        [3, 3, 1],
        [3, 3, 2],
      ],
    );
    assert.ok(Date.now() - startedAt >= 3_000, 'one second, then two');
    assert.equal(model.outcomes.size, 10);
    assert.equal(timesHandedOut(model).get(7), 2);
  });

  it('lets no line wait for one that waits longer, with one timer for lines that wait about equally long, and hands on what it knows', async () => {
    const model = createModel({ shards: [100], policy: { linesPerActivity: 100 } });
    const { runRequests } = model.activities;
    model.activities.runRequests = async (slice) => {
      if (model.slices.length > 0) return await runRequests(slice);
      const ran = await runRequests({ ...slice, lastLine: 1 });
      const again = Array.from({ length: 98 }, (_, at) => ({ line: at + 3, faults: 1 + (at % 3), waitMs: 100_000 + 300 * at }));
      return { ...ran, again: [{ line: 2, faults: 3, timeouts: 1, refusals: 2, server: 4, waitMs: 200 }, ...again] };
    };
    const handle = await engine.start(model);
    await until('the second line is answered', () => model.outcomes.has(2));
    assert.partialDeepStrictEqual(model.slices.at(-1), { firstLine: 2, lastLine: 2, faults: 3, timeouts: 1, refusals: 2, server: 4 });
    const { events } = await engine.client.workflow.getHandle(`${model.id}/shard-0000`).fetchHistory();
    const timers = events?.filter((event) => event.timerStartedEventAttributes != null) ?? [];
    assert.ok(timers.length <= 6, `${timers.length} timers for 99 lines`);
    model.requestCancel();
    await handle.signal(CANCEL_SIGNAL);
    assert.equal(await handle.result(), 'cancelled');
  });

  it('hands out again what an activity has not touched', async () => {
    const model = createModel({
      shards: [12],
      policy: { linesPerActivity: 6 },
      fate: (line, attempt): Fate => (line > 3 && attempt === 1 ? 'untouched' : 'completed'),
    });
    await (await engine.start(model)).result();
    assert.equal(model.record.status, 'completed');
    assert.equal(model.outcomes.size, 12);
  });

  it('hands lines without a piece out again, as slices of one', async () => {
    const model = createModel({
      shards: [8],
      policy: { linesPerActivity: 4 },
      fate: (line, attempt): Fate => ((line === 2 || line === 6) && attempt === 1 ? 'lost' : 'completed'),
    });
    await (await engine.start(model)).result();
    const again = model.slices.filter(({ contested }) => contested);
    assert.deepEqual(
      again.map(({ firstLine, lastLine }) => [firstLine, lastLine]).toSorted(([a = 0], [b = 0]) => a - b),
      [
        [2, 2],
        [6, 6],
      ],
    );
    assert.deepEqual(model.record.request_counts, { total: 8, completed: 8, failed: 0 });
  });

  it('continues as new after so many shards, and counts on', async () => {
    const model = createModel({ shards: [3, 3, 3, 3, 3], policy: { shardsPerRun: 2 } });
    const handle = await engine.start(model);
    assert.equal(await handle.result(), 'completed');
    assert.equal(model.validations.count, 3);
    assert.deepEqual(model.record.request_counts, { total: 15, completed: 15, failed: 0 });
    assert.deepEqual([...new Set(timesHandedOut(model).values())], [1]);
    // Each run but the first begins with shards that no run before has opened.
    assert.deepEqual(model.listings, []);
  });

  it('appends the results of closed shards while others run, in order and one activity at a time', async () => {
    const { wait, open } = gate();
    let [running, failures] = [0, 0];
    const model: Model = createModel({
      shards: Array.from({ length: 30 }, () => 2),
      policy: { appendEveryShards: 4, shardsPerRun: 20 },
      before: {
        async appendResults() {
          assert.equal(++running, 1, 'one at a time');
          if (model.appends.length === 0) await wait();
          running -= 1;
          // The next activity takes over what one leaves behind.
          if (model.appends.length === 1 && failures++ === 0) throw ApplicationFailure.nonRetryable('the bucket is away');
        },
        publishResults: async () => assert.equal(running, 0, 'before publishing'),
      },
    });
    const handle = await engine.start(model);
    await until('shards run on while results are appended', () => running === 1 && model.closedShards.size >= 12);
    open();
    assert.equal(await handle.result(), 'completed');
    assert.ok(model.appends.length >= 2);
    for (const [at, [first, end]] of model.appends.entries()) {
      assert.equal(first, model.appends[at - 1]?.[1] ?? 0);
      assert.ok(end > first && end < 30, `${first} to ${end}`);
    }
  });

  it('starts the next shard when one has handed out its last line, not when it ends', async () => {
    const held = gate();
    // The last line of each shard is a straggler; two shards hand out at a time.
    const model = createModel({
      shards: [4, 4, 4, 4],
      policy: { linesPerActivity: 1 },
      fate: async (line): Promise<Fate> => {
        if (line % 4 === 0) await held.wait();
        return 'completed';
      },
    });
    const handle = await engine.start(model);
    await until('every shard waits for its straggler', () => [4, 8, 12, 16].every((line) => model.inFlight.has(line)));
    assert.deepEqual(await handle.query<Progress>('progress'), { completed: 0, failed: 0, unclosed: [[0, 3]] });
    const ofShard = async () => await detailsOf(engine.client.workflow.getHandle(`${model.id}/shard-0002`));
    await until('the third shard has counted the other lines', async () =>
      (await ofShard()).includes('- 3 completed and 0 failed of 4, 1 out'),
    );
    held.open();
    assert.equal(await handle.result(), 'completed');
  });

  it('opens no more shards than it may', async () => {
    const held = gate();
    const model = createModel({
      shards: [2, 2, 2, 2, 2],
      policy: { maxOpenShards: 3 },
      fate: async (): Promise<Fate> => {
        await held.wait();
        return 'completed';
      },
    });
    const handle = await engine.start(model);
    await until('three shards wait', () => model.inFlight.size === 6);
    assert.match(await detailsOf(handle), /3 of 5 shards open: 0, 1, 2/);
    held.open();
    await handle.result();
    assert.equal(model.closedShards.size, 5);
  });

  it('has its lead out, four times what may be in flight for fast answers, and half as much again while the last shard takes over', async () => {
    const held = gate();
    let most = 0;
    const model = createModel({
      shards: [60, 60],
      policy: { maxInFlight: 4, linesPerActivity: 1 },
      fate: async (line): Promise<Fate> => {
        most = Math.max(most, model.inFlight.size);
        // The first lines of a shard show that answers are fast; the others wait for each other, however slowly they come.
        if (line % 60 > 20) await held.wait();
        await delay(30);
        return 'completed';
      },
    });
    const handle = await engine.start(model);
    await until('more lines are out than before the first answers', () => model.inFlight.size > 8);
    held.open();
    await handle.result();
    assert.ok(most > 8 && most <= 24, `${most} lines at a time`);
  });

  describe('with lines for several upstreams', () => {
    /** How often each line was sent, by upstream. */
    function sent(model: Model, upstreamOf: (line: number) => number): Map<string, number>[] {
      return ['main', 'other'].map((name, number) => {
        const lines = model.slices
          .filter(({ upstream }) => upstream === name)
          .flatMap(({ firstLine, lastLine }) => Array.from({ length: lastLine - firstLine + 1 }, (_, at) => firstLine + at));
        return new Map(
          [
            ...Map.groupBy(
              lines.filter((line) => upstreamOf(line) === number),
              String,
            ),
          ].map(([line, all]) => [line, all.length]),
        );
      });
    }

    it('sends each line once, to its own', async () => {
      const upstreamOf = (line: number) => (line % 3 === 0 || line > 100 ? 1 : 0);
      const model = createModel({ shards: [50, 50, 30, 7], upstreamOf });
      assert.equal(await (await engine.start(model)).result(), 'completed');
      assert.deepEqual(model.record.request_counts, { total: 137, completed: 137, failed: 0 });
      const [main, other] = sent(model, upstreamOf);
      assert.deepEqual([main?.size, other?.size], [67, 70]);
      assert.deepEqual([...new Set([...(main?.values() ?? []), ...(other?.values() ?? [])])], [1]);
      // Nothing is said of a shard that is for one.
      assert.ok(model.slices.every(({ firstLine, mixed }) => (mixed === undefined) === firstLine > 100));
      assert.ok(model.slices.every(({ mixed, upstream }) => mixed === undefined || ['main', 'other'][mixed.upstream] === upstream));
      assert.ok(model.slices.length < 100, `slices grow with the pace, yet there were ${model.slices.length}`);
    });

    it('holds up no line for an upstream that does not answer', async () => {
      const { wait, open } = gate();
      const isHeld = (line: number) => line % 2 === 0 && line <= 60;
      const upstreamOf = (line: number) => (line % 2 === 0 ? 1 : 0);
      // Twelve shards, of which two hand out lines of an upstream at a time.
      const model = createModel({
        shards: Array.from({ length: 12 }, () => 10),
        upstreamOf,
        policy: { maxInFlight: 4 },
        fate: async (line): Promise<Fate> => {
          if (isHeld(line)) await wait();
          return 'completed';
        },
      });
      const handle = await engine.start(model);
      await until('the other upstream has answered all of its lines', () =>
        Array.from({ length: 60 }, (_, at) => 2 * at + 1).every((line) => model.outcomes.has(line)),
      );
      assert.ok(Array.from({ length: 60 }, (_, at) => at + 1).every((line) => upstreamOf(line) === 0 || !model.outcomes.has(line)));
      // It has no more out than a few leads.
      assert.ok(model.inFlight.size <= 64, `${model.inFlight.size} lines wait`);
      open();
      assert.equal(await handle.result(), 'completed');
      assert.equal(model.outcomes.size, 120);
    });

    it('starts the shards of one before those of another that is slow, where each has shards of its own', async () => {
      const { wait, open } = gate();
      const model = createModel({
        shards: Array.from({ length: 12 }, () => 5),
        upstreamOf: (line) => (line <= 40 ? 0 : 1),
        fate: async (line): Promise<Fate> => {
          if (line <= 40) await wait();
          return 'completed';
        },
      });
      const handle = await engine.start(model);
      await until('the lines at the end are answered', () => [41, 50, 60].every((line) => model.outcomes.has(line)));
      open();
      assert.equal(await handle.result(), 'completed');
    });

    it('hands out again what has a fault, was not touched or left no piece, to its own', async () => {
      const upstreamOf = (line: number) => (line % 2 === 0 ? 1 : 0);
      const fates: Record<number, Fate> = { 3: 'fault', 4: 'untouched', 5: 'untouched', 7: 'untouched', 10: 'lost' };
      const model = createModel({
        shards: [12],
        upstreamOf,
        policy: { linesPerActivity: 4 },
        fate: (line, attempt) => (attempt === 1 ? (fates[line] ?? 'completed') : 'completed'),
      });
      assert.equal(await (await engine.start(model)).result(), 'completed');
      const twice = (lines: ReadonlyMap<string, number> = new Map()) =>
        [...lines].flatMap(([line, times]) => (times === 2 ? [Number(line)] : [])).sort((a, b) => a - b);
      const [main, other] = sent(model, upstreamOf);
      assert.deepEqual(
        [twice(main), twice(other)],
        [
          [3, 5, 7],
          [4, 10],
        ],
      );
      const again = model.slices.filter(({ firstLine, lastLine }) => firstLine === 5 && lastLine === 7);
      assert.deepEqual(
        again.map(({ mixed }) => mixed),
        [{ upstream: 0, lines: 2 }],
      );
    });

    it('waits longer each time that an activity touches none of its lines', async () => {
      const triedMs: number[] = [];
      const model = createModel({
        shards: [5],
        upstreamOf: (line) => (line === 3 ? 0 : 1),
        policy: { linesPerActivity: 4 },
        fate: (line, attempt) => {
          if (line === 3) return 'completed';
          if (line === 1) triedMs.push(performance.now());
          return attempt <= 2 ? 'untouched' : 'completed';
        },
      });
      assert.equal(await (await engine.start(model)).result(), 'completed');
      const [first = 0, second = 0, third = 0] = triedMs;
      assert.ok(second - first >= 900 && third - second >= 1_900, triedMs.join());
    });

    it('is cancelled with all of its shards', async () => {
      const model = createModel({
        shards: [10, 10],
        upstreamOf: (line) => (line % 2 === 0 ? 1 : 0),
        fate: () => delay(60_000, 'completed'),
      });
      const handle = await engine.start(model);
      await until('lines are in flight', () => model.inFlight.size > 0);
      model.requestCancel();
      await handle.signal('cancel');
      assert.equal(await handle.result(), 'cancelled');
      assert.deepEqual(
        [...model.closedShards.values()].map(({ unrun }) => unrun),
        [10, 10],
      );
    });

    it('continues as new and keeps the pace of each', async () => {
      const model = createModel({
        shards: [6, 6, 6, 6],
        upstreamOf: (line) => (line % 2 === 0 ? 1 : 0),
        policy: { shardsPerRun: 2 },
      });
      const handle = await engine.start(model);
      assert.equal(await handle.result(), 'completed');
      assert.deepEqual(model.record.request_counts, { total: 24, completed: 24, failed: 0 });
      assert.equal(model.validations.count, 2);
      const { memo: _, ...described } = await handle.describe();
      const { events } = await engine.client.workflow.getHandle(model.id, described.runId).fetchHistory();
      const payload = events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]?.data;
      const input: { otherPaces?: object } = JSON.parse(new TextDecoder().decode(payload ?? undefined));
      assert.deepEqual(Object.keys(input.otherPaces ?? {}), ['other']);
    });
  });

  it('decides the same when its history is replayed', async () => {
    const { replayed, errors } = await engine.replay();
    assert.deepEqual(errors, []);
    assert.ok(replayed >= 10, `${replayed} histories`);
  });
});

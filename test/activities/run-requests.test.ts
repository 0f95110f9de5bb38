import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationFailure } from '@temporalio/activity';
import { ActivityCancellationDetails } from '@temporalio/common';
import { countTally, emptyTally } from '../../src/domain/shard-tally.ts';
import type { PieceStore } from '../../src/storage/piece-store.ts';
import { ObjectStoreError } from '../../src/storage/object-store.ts';
import { createModelRoutes } from '../../src/domain/model-routes.ts';
import { chatLine, chatLines } from '../helpers/lines.ts';
import { freePort } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';
import { collect } from '../storage/test-bucket.ts';
import { httpAnswer, startRawServer } from '../upstream/raw-server.ts';
import { attempt, createStageUpstreams, run, slice, type Stage, type StagedBatch, startStage } from './stage.ts';

let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(async () => await stage[Symbol.asyncDispose]());
beforeEach(() => stage.upstream.reset());

const scripted = (...scripts: string[]) => scripts.map((script, at) => chatLine(`line-${at + 1}`, script)).join('\n');
const tallied = async ({ batchId }: StagedBatch) => countTally((await stage.deps.batches.tallies.read(batchId)).get(0) ?? emptyTally());
const callsOf = (marker: string) => stage.upstream.calls.get(marker)?.length ?? 0;
const arrived = async (marker: string, count = 1) =>
  await until(() => callsOf(marker) >= count, { what: `${count} calls of ${marker}`, everyMs: 5 });

describe('runRequests', () => {
  it('sends every line of the slice and stores one result for each, blank lines covered too', async () => {
    const batch = await stage.begin(`${chatLine('a')}\n\n${chatLine('b', 'status=400')}\n${chatLine('c')}\n`);
    const ran = await run(stage.worker().runRequests, slice(batch, 1, 4));
    assert.deepEqual([ran.covered, ran.completed, ran.failed, ran.again, ran.answered], [[[1, 4]], 2, 1, [], 3]);
    assert.ok(ran.meanUpstreamMs > 0 && ran.batchesRunning === 1);
    const entries = await stage.entries(batch);
    assert.deepEqual(entries.map(({ line, outcome }) => [line, outcome]).sort(), [
      [1, 'completed'],
      [3, 'failed'],
      [4, 'completed'],
    ]);
    assert.ok(entries.every(({ usage, outcome }) => (usage !== null) === (outcome === 'completed')));
  });

  it('sends the exact bytes of the body, and the same Idempotency-Key with every attempt', async () => {
    const body =
      '{ "seed":9223372036854775807,"x":1.0, "model":"example-model","messages":[{"role":"user","content":"é\u2028"}],"user":"marker=exact; status=500,200"}';
    const batch = await stage.begin(`{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":${body}}`);
    const { run: runAttempt, beats } = attempt();
    await assert.rejects(runAttempt(stage.worker().runRequests, slice(batch, 1, 1)));
    await attempt({ attempt: 2, heartbeatDetails: beats.at(-1) }).run(stage.worker().runRequests, slice(batch, 1, 1));
    const calls = stage.upstream.calls.get('exact') ?? [];
    assert.deepEqual(
      calls.map((call) => call.body.toString()),
      [body, body],
    );
    assert.equal(new Set(calls.map(({ idempotencyKey }) => idempotencyKey)).size, 1);
  });

  it('ends lines as input_file_gone when the input is gone from the bucket, in slices of one and of many', async () => {
    for (const lines of [1, 40]) {
      const batch = await stage.begin(chatLines(lines));
      await stage.deps.files.dropContent(batch.tenant, batch.inputFileId);
      const ran = await run(stage.worker().runRequests, slice(batch, 1, lines));
      assert.deepEqual([ran.covered, ran.failed, ran.again], [[[1, lines]], lines, []]);
      const [written] = await collect(stage.deps.pieces.readResultLines((await stage.entries(batch)).slice(0, 1)));
      const { custom_id, error } = JSON.parse(String(written?.[0]));
      assert.deepEqual([custom_id, error.code], ['line-1', 'input_file_gone']);
      assert.match(error.message, new RegExp(`${batch.inputFileId} is no longer in the bucket`));
    }
  });

  it('sends the body as the upstream takes it, and keeps the custom_id', async () => {
    const upstreams = createStageUpstreams(stage.upstream, { aliases: { 'example-model': 'org/other' }, add: { priority: 5 } });
    const batch = await stage.begin(chatLine('a', 'marker=rewritten'));
    await run(stage.worker({ upstreams }).runRequests, slice(batch, 1, 1));
    const [call] = stage.upstream.calls.get('rewritten') ?? [];
    const { body } = JSON.parse(chatLine('a', 'marker=rewritten'));
    assert.deepEqual(JSON.parse(String(call?.body)), { ...body, model: 'org/other', priority: 5 });
  });

  it('sends only the lines of its upstream of a shard for several', async () => {
    const of = (id: string, model: string) =>
      JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/chat/completions', body: { model, messages: [], user: `marker=${id}` } });
    const input = [of('mixed-1', 'a'), of('mixed-2', 'b'), of('mixed-3', 'a'), of('mixed-4', 'b')].join('\n');
    const routes = createModelRoutes([
      { name: 'example', models: ['a'] },
      { name: 'other', models: ['b'] },
    ]);
    const batch = await stage.begin(input, { routes });
    const example = stage.deps.upstreams.get('example');
    assert.ok(example);
    const upstreams = new Map([
      ['example', example],
      ['other', { ...example, name: 'other' }],
    ]);
    const { runRequests } = stage.worker({ upstreams });
    const ran = await run(runRequests, { ...slice(batch, 2, 4), upstream: 'other', mixed: { upstream: 1, lines: 2 } });
    assert.deepEqual([ran.completed, ran.failed, ran.answered, ran.again], [2, 0, 2, []]);
    assert.deepEqual(['mixed-1', 'mixed-2', 'mixed-3', 'mixed-4'].map(callsOf), [0, 1, 0, 1]);
    await run(runRequests, { ...slice(batch, 1, 3), mixed: { upstream: 0, lines: 2 } });
    assert.deepEqual(['mixed-1', 'mixed-2', 'mixed-3', 'mixed-4'].map(callsOf), [1, 1, 1, 1]);
  });

  it('sends a request that one server denies to another one', async () => {
    await using denying = await startRawServer((socket) => socket.write(httpAnswer(401)));
    const upstreams = createStageUpstreams(stage.upstream, { baseUrls: [denying.url, `${stage.upstream.url}/v1`] });
    const batch = await stage.begin(scripted('', ''));
    const ran = await run(stage.worker({ upstreams }).runRequests, slice(batch, 1, 2));
    assert.deepEqual([ran.completed, ran.failed, ran.again], [2, 0, []]);
    assert.ok(denying.requests.length > 0);
  });

  it('begins few lines before they have a place, and of two slices the older one first', async () => {
    const batch = await stage.begin(
      Array.from({ length: 300 }, (_, at) => chatLine(`line-${at + 1}`, 'marker=order; delay=20')).join('\n'),
    );
    const upstreams = createStageUpstreams(stage.upstream, { maxInFlight: 8 });
    const upstream = upstreams.get('example');
    assert.ok(upstream);
    const worker = stage.worker({ upstreams });
    const slices = [run(worker.runRequests, slice(batch, 1, 200)), run(worker.runRequests, slice(batch, 201, 300))];
    await arrived('order', 100);
    assert.ok(upstream.waiting > 0 && upstream.waiting <= 64, `${upstream.waiting} lines wait for a place`);
    await Promise.all(slices);
    const lines = (stage.upstream.calls.get('order') ?? []).map(({ idempotencyKey }) => Number(idempotencyKey?.split('-').at(-1)));
    assert.equal(new Set(lines).size, 300);
    // A few of the younger one went out before the older one had read its lines.
    const early = lines.slice(0, 190).filter((line) => line > 200).length;
    assert.ok(early <= 16, `${early} of the first 190 were of the younger slice`);
  });

  it('hands faulted lines of many back, with their count', async () => {
    const batch = await stage.begin(scripted('', 'status=500', 'mode=malformed'));
    const ran = await run(stage.worker().runRequests, slice(batch, 1, 3, { faults: 1 }));
    assert.deepEqual(ran.covered, [[1, 1]]);
    assert.deepEqual(
      ran.again.map(({ waitMs: _, ...line }) => line),
      [
        { line: 2, faults: 2, timeouts: 0, server: 0 },
        // Repeats hardly cure it.
        { line: 3, faults: 4, timeouts: 0, server: 0 },
      ],
    );
    for (const { waitMs = 0 } of ran.again) assert.ok(waitMs > 10_000 && waitMs <= 15_000, `${waitMs} ms`);
  });

  it('hands refusals of lines of many back where they are limited, and goes on from them', async () => {
    const batch = await stage.begin(scripted('status=429', 'status=429', ''));
    // So little memory that no line may wait here.
    const worker = stage.worker({ upstreams: createStageUpstreams(stage.upstream, { maxRefusals: 3 }), memoryBytes: 1 });
    const ran = await run(worker.runRequests, slice(batch, 1, 3));
    assert.deepEqual(ran.covered, [[3, 3]]);
    assert.deepEqual(
      ran.again.map(({ waitMs = 0, ...line }) => ({ ...line, waits: waitMs > 0 })),
      [1, 2].map((line) => ({ line, faults: 0, timeouts: 0, refusals: 1, waits: true })),
    );
    const last = await run(worker.runRequests, slice(batch, 1, 1, { refusals: 2 }));
    assert.deepEqual([last.covered, last.failed, last.again], [[[1, 1]], 1, []]);
    const unlimited = stage.worker({ memoryBytes: 1 });
    assert.deepEqual((await run(unlimited.runRequests, slice(batch, 1, 2))).again, []);
  });

  it('says why a request was given up: what is wrong with its server, and the last words of it', async () => {
    await using failing = await startRawServer((socket) =>
      socket.write(httpAnswer(401, JSON.stringify({ error: { message: 'this key has been revoked' } }))),
    );
    for (const [baseUrl, reason] of [
      [`http://127.0.0.1:${await freePort()}/v1`, /longer than 0.3 s: it cannot be reached: .*ECONNREFUSED/],
      [failing.url, /longer than 0.3 s: it denies access: .*401.*this key has been revoked/],
    ] as const) {
      const batch = await stage.begin(chatLines(20));
      const upstreams = createStageUpstreams(stage.upstream, { baseUrls: [baseUrl], unavailableMaxMs: 300, maxInFlight: 4 });
      const ran = await run(stage.worker({ upstreams }).runRequests, slice(batch, 1, 20));
      assert.equal(ran.failed, 20);
      const lines = (await collect(stage.deps.pieces.readResultLines(await stage.entries(batch)))).flat();
      const messages = lines.map((line) => JSON.parse(String(line)).error?.message).filter((message) => message !== undefined);
      assert.ok(messages.length > 0);
      for (const message of messages) assert.match(message, reason);
    }
  });

  it('reserves memory for the copy of a body that is changed for the upstream', async () => {
    stage.upstream.set({ latency: 100 });
    const input = Array.from({ length: 4 }, (_, at) => chatLine(`line-${at + 1}`, 'x'.repeat(100_000))).join('\n');
    const most: number[] = [];
    for (const changes of [{}, { add: { priority: 5 } }]) {
      const batch = await stage.begin(input);
      stage.upstream.reset();
      stage.upstream.set({ latency: 100 });
      const upstreams = createStageUpstreams(stage.upstream, changes);
      await run(stage.worker({ upstreams, memoryBytes: 300_000 }).runRequests, slice(batch, 1, 4));
      most.push(stage.upstream.stats.maxInFlight);
    }
    stage.upstream.set({ latency: 0 });
    assert.deepEqual(most, [2, 1]);
  });

  it('leaves the sending again of a refused request to Temporal where that holds a budget of requests', async () => {
    const batch = await stage.begin(scripted('marker=budgeted; status=429,503,200'));
    const worker = stage.worker({ upstreams: createStageUpstreams(stage.upstream, { requestsPerMinute: 600 }) });
    let details: unknown;
    for (const number of [1, 2]) {
      const { run: runAttempt, beats } = attempt({ attempt: number, heartbeatDetails: details });
      await assert.rejects(runAttempt(worker.runRequests, slice(batch, 1, 1)), (error) => {
        assert.ok(error instanceof ApplicationFailure);
        assert.deepEqual(
          [error.type, error.message, error.category, error.nonRetryable],
          ['UpstreamRefusal', `refused ${number} times (status ${number === 1 ? 429 : 503}) by upstream example`, 'BENIGN', false],
        );
        assert.ok(Number(error.nextRetryDelay) > 0);
        return true;
      });
      details = beats.at(-1);
      assert.equal(callsOf('budgeted'), number);
    }
    const ran = await attempt({ attempt: 3, heartbeatDetails: details }).run(worker.runRequests, slice(batch, 1, 1));
    assert.deepEqual([ran.completed, ran.covered], [1, [[1, 1]]]);
  });

  it('fails with class, status and upstream when one line faults, and returns the fifth fault as its outcome', async () => {
    const batch = await stage.begin(scripted('marker=five; status=500'));
    let details: unknown = undefined;
    for (let number = 1; number <= 4; number++) {
      const { run: runAttempt, beats } = attempt({ attempt: number, heartbeatDetails: details });
      await assert.rejects(runAttempt(stage.worker().runRequests, slice(batch, 1, 1)), (error) => {
        assert.ok(error instanceof ApplicationFailure);
        assert.deepEqual(
          [error.type, error.message, error.category, error.nonRetryable],
          ['UpstreamFault', 'server_error (status 500) from upstream example', 'BENIGN', false],
        );
        return true;
      });
      details = beats.at(-1);
      assert.equal(beats.at(-1)?.['faults'], number);
    }
    const ran = await attempt({ attempt: 5, heartbeatDetails: details }).run(stage.worker().runRequests, slice(batch, 1, 1));
    assert.deepEqual([ran.covered, ran.failed, callsOf('five')], [[[1, 1]], 1, 5]);
  });

  it('counts what it has stored while one line is slow, without failures where another attempt may answer the line', async () => {
    const lines = [...Array.from({ length: 9 }, () => ''), 'status=400', 'marker=slow-neighbour; mode=hang'];
    async function countsOf(changes: { attempt?: number; contested?: boolean; isTakenOver?: boolean }, expected: { failed: number }) {
      const batch = await stage.begin(scripted(...lines));
      const { run: runAttempt, cancel } = attempt({ attempt: changes.attempt ?? 1 }, { isTakenOver: changes.isTakenOver ?? false });
      const input = slice(batch, 1, 11, { contested: changes.contested ?? false, cancelGraceMs: 0 });
      const ran = runAttempt(stage.worker().runRequests, input);
      await until(async () => (await tallied(batch)).completed === 9, { what: 'nine answers to count', everyMs: 20 });
      if (expected.failed > 0) await until(async () => (await tallied(batch)).failed === 1, { what: 'the failure to count', everyMs: 20 });
      cancel();
      const { completed, failed } = await ran;
      assert.deepEqual([completed, failed], [9, 1]);
      assert.deepEqual(await tallied(batch), { completed: 9, ...expected });
    }
    await Promise.all([
      countsOf({}, { failed: 1 }),
      countsOf({ attempt: 2 }, { failed: 0 }),
      countsOf({ contested: true }, { failed: 0 }),
      countsOf({ isTakenOver: true }, { failed: 0 }),
    ]);
  });

  it('counts all answers of the shard that it finds in pieces, as a lost worker may not have told them', async () => {
    const batch = await stage.begin(scripted('', '', '', ''));
    const { batches } = stage.deps;
    const add = async () => await Promise.reject(new Error('this worker is lost'));
    await run(stage.worker({ batches: { ...batches, tallies: { ...batches.tallies, add } } }).runRequests, slice(batch, 1, 2));
    await attempt({ attempt: 2 }).run(stage.worker().runRequests, slice(batch, 3, 3));
    await until(async () => (await tallied(batch)).completed === 3, { what: 'three answers to count', everyMs: 20 });
  });

  it('stores what was answered while other lines of the slice go on', async () => {
    const batch = await stage.begin(scripted('', '', 'marker=slow; mode=hang'));
    const { run: runAttempt, cancel } = attempt();
    const running = runAttempt(stage.worker().runRequests, slice(batch, 1, 3, { cancelGraceMs: 0 }));
    const beganMs = performance.now();
    await until(async () => (await stage.entries(batch)).length === 2, { what: 'the first piece' });
    assert.ok(performance.now() - beganMs < 10_000);
    cancel();
    const ran = await running;
    assert.deepEqual([ran.covered, ran.completed, ran.again], [[[1, 2]], 2, []]);
    assert.equal((await stage.entries(batch)).length, 2);
  });

  it('reads pieces before sending on a second attempt and sends what none has', async () => {
    const batch = await stage.begin(scripted('marker=one', 'marker=two', 'marker=three'));
    await run(stage.worker().runRequests, slice(batch, 1, 2));
    const ran = await attempt({ attempt: 2 }).run(stage.worker().runRequests, slice(batch, 1, 3));
    assert.deepEqual([callsOf('one'), callsOf('two'), callsOf('three')], [1, 1, 1]);
    assert.deepEqual([ran.covered, ran.completed, ran.answered], [[[1, 3]], 3, 1]);
  });

  it('reads them on a first attempt too when nothing has listed them', async () => {
    const batch = await stage.begin(scripted('marker=resumed'));
    await run(stage.worker().runRequests, slice(batch, 1, 1));
    await run(stage.worker().runRequests, slice(batch, 1, 1, { resumed: true }));
    assert.equal(callsOf('resumed'), 1);
  });

  it('sends what memory has no room for one after the other, without idling', async () => {
    stage.upstream.set({ latency: 20 });
    const batch = await stage.begin(chatLines(10));
    const beganMs = performance.now();
    const ran = await run(stage.worker({ memoryBytes: 1 }).runRequests, slice(batch, 1, 10));
    assert.ok(performance.now() - beganMs < 8_000);
    stage.upstream.set({ latency: 0 });
    assert.equal(ran.completed, 10);
    assert.equal(stage.upstream.stats.maxInFlight, 1);
  });
});

describe('runRequests, stopped', () => {
  it('gives requests in flight the grace of a cancel and returns what they brought', async () => {
    const batch = await stage.begin(scripted('marker=quick; delay=300', 'marker=stuck; mode=hang'));
    const { run: runAttempt, cancel } = attempt();
    const running = runAttempt(stage.worker().runRequests, slice(batch, 1, 2, { cancelGraceMs: 5_000 }));
    await arrived('quick');
    await arrived('stuck');
    cancel();
    const ran = await running;
    assert.deepEqual([ran.covered, ran.completed, ran.again], [[[1, 1]], 1, []]);
  });

  it('lets requests in flight finish while the batch is paused, and gives them the grace once it is cancelled', async () => {
    const batch = await stage.begin(scripted('marker=long; delay=2500', 'marker=hangs; mode=hang'));
    const worker = stage.worker();
    await run(worker.saveBatch, { ...batch, to: null, counts: null, pause: true });
    const { run: runAttempt, cancel } = attempt();
    const running = runAttempt(worker.runRequests, slice(batch, 1, 2, { cancelGraceMs: 0 }));
    await arrived('long');
    await arrived('hangs');
    cancel();
    await until(async () => (await stage.entries(batch)).length === 1, { what: 'the long answer' });
    await run(worker.saveBatch, { ...batch, to: 'cancelling', counts: null });
    const ran = await running;
    assert.deepEqual([ran.covered, ran.completed], [[[1, 1]], 1]);
  });

  it('lets requests in flight finish that a pause has let go on when the batch is resumed', async () => {
    const batch = await stage.begin(scripted('marker=outlasts; delay=7500'));
    const worker = stage.worker();
    await run(worker.saveBatch, { ...batch, to: null, counts: null, pause: true });
    const { run: runAttempt, cancel } = attempt();
    const running = runAttempt(worker.runRequests, slice(batch, 1, 1, { cancelGraceMs: 0 }));
    await arrived('outlasts');
    cancel();
    await delay(1_000);
    await run(worker.saveBatch, { ...batch, to: null, counts: null, pause: false });
    assert.equal((await running).completed, 1);
  });

  it('sends nothing on an attempt after the first while the batch is paused', async () => {
    const batch = await stage.begin(scripted('marker=held'));
    await run(stage.worker().saveBatch, { ...batch, to: null, counts: null, pause: true });
    const ran = await attempt({ attempt: 2 }).run(stage.worker().runRequests, slice(batch, 1, 1));
    assert.deepEqual([ran.covered, ran.again, callsOf('held')], [[], [], 0]);
  });

  it('aborts everything at the end of the window', async () => {
    const batch = await stage.begin(scripted('', 'marker=hung; mode=hang'));
    const beganMs = Date.now();
    const ran = await run(stage.worker().runRequests, slice(batch, 1, 2, { expiresAtMs: beganMs + 3_000, cancelGraceMs: 60_000 }));
    assert.deepEqual([ran.covered, ran.again], [[[1, 1]], []]);
    assert.ok(Date.now() - beganMs < 30_000);
  });

  it("ends the window by Temporal's clock, whatever the worker's own says", async () => {
    const batch = await stage.begin(scripted('', 'marker=wrong-clock; mode=hang'));
    const beganMs = performance.now();
    const input = slice(batch, 1, 2, { expiresAtMs: batch.expiresAtMs, cancelGraceMs: 60_000 });
    const lastSeconds = attempt({ currentAttemptScheduledTimestampMs: batch.expiresAtMs - 3_000 });
    const ran = await lastSeconds.run(stage.worker({ nowMs: () => batch.expiresAtMs + 3_600_000 }).runRequests, input);
    assert.deepEqual([ran.covered, ran.again], [[[1, 1]], []]);
    const ms = performance.now() - beganMs;
    assert.ok(ms > 2_900 && ms < 30_000);
  });

  it('aborts at once when the worker has no time left', async () => {
    const batch = await stage.begin(scripted('marker=late; mode=hang'));
    const { run: runAttempt, cancel } = attempt();
    const running = runAttempt(stage.worker().runRequests, slice(batch, 1, 1, { cancelGraceMs: 60_000 }));
    await arrived('late');
    cancel('WORKER_SHUTDOWN', new ActivityCancellationDetails({ workerShutdown: true }));
    assert.deepEqual((await running).covered, []);
  });

  it('sends nothing new while the process drains, and finishes what is in flight', async () => {
    const draining = new AbortController();
    // One place only, so that the second line still waits when the process is asked to end.
    const upstreams = createStageUpstreams(stage.upstream, { maxInFlight: 1 });
    const batch = await stage.begin(scripted('marker=flying; delay=300', 'marker=waiting'));
    const running = run(stage.worker({ draining: draining.signal, upstreams }).runRequests, slice(batch, 1, 2));
    await until(() => callsOf('flying') + callsOf('waiting') === 1, { what: 'one call', everyMs: 5 });
    draining.abort();
    const ran = await running;
    assert.deepEqual([ran.completed, ran.again.length, callsOf('flying') + callsOf('waiting')], [1, 0, 1]);
  });

  it('hands the faults back that it learnt of when it stops before the next try', async () => {
    const batch = await stage.begin(scripted('status=500'));
    const { run: runAttempt, beats } = attempt();
    await assert.rejects(runAttempt(stage.worker().runRequests, slice(batch, 1, 1)));
    const draining = AbortSignal.abort();
    const next = attempt({ attempt: 2, heartbeatDetails: beats.at(-1) });
    const ran = await next.run(stage.worker({ draining }).runRequests, slice(batch, 1, 1));
    assert.deepEqual([ran.covered, ran.again], [[], [{ line: 1, faults: 1, timeouts: 0, server: 0 }]]);
  });

  it('sends nothing in an attempt after the first once the record says that the batch ends', async () => {
    const batch = await stage.begin(scripted('marker=too-late', 'marker=too-late'));
    await run(stage.worker().runRequests, slice(batch, 1, 1));
    await run(stage.worker().saveBatch, { ...batch, to: 'cancelling', counts: null });
    for (const lastLine of [1, 2]) {
      const ran = await attempt({ attempt: 2 }).run(stage.worker().runRequests, slice(batch, 1, lastLine));
      assert.deepEqual([ran.covered, ran.again, callsOf('too-late')], [[[1, 1]], [], 1]);
    }
    const alone = await attempt({ attempt: 2 }).run(stage.worker().runRequests, slice(batch, 2, 2));
    assert.deepEqual([alone.covered, alone.again, callsOf('too-late')], [[], [], 1]);
  });

  it('never sends again once the process stood still for 20 s, and stores what it has', async () => {
    let skippedMs = 0;
    const { pieces } = stage.deps;
    const batch = await stage.begin(scripted('marker=before', 'marker=after; status=503,200'));
    const worker = stage.worker({ monotonicMs: () => performance.now() + skippedMs });
    stage.upstream.set({ retryAfter: 10 });
    const running = run(worker.runRequests, slice(batch, 1, 2));
    await arrived('after');
    await until(async () => (await stage.entries(batch)).length === 1, { what: 'the result of the first line', everyMs: 20 });
    skippedMs = 21_000;
    const ran = await running;
    stage.upstream.set({ retryAfter: 1 });
    assert.deepEqual([ran.covered, ran.again, callsOf('after')], [[[1, 1]], [], 1]);
    assert.equal((await collect(pieces.listPieceEntries(batch.batchId, 0))).flat().length, 1);
  });

  it('holds back new requests while a piece waits for the bucket, then goes on', async () => {
    const { pieces } = stage.deps;
    const batch = await stage.begin(scripted('marker=first', 'marker=second; status=503,200'));
    stage.upstream.set({ retryAfter: 8 });
    const bucketBack = Promise.withResolvers<void>();
    let callsWhileAway = -1;
    const slow: PieceStore = {
      ...pieces,
      async putPiece(at, results) {
        if (at.piece === 1) await bucketBack.promise;
        await pieces.putPiece(at, results);
      },
    };
    const running = run(stage.worker({ pieces: slow }).runRequests, slice(batch, 1, 2));
    await arrived('second');
    // The refusal is over after 8 s; the piece of the first line then waits for more than 2 s already.
    setTimeout(() => {
      callsWhileAway = callsOf('second');
      bucketBack.resolve();
    }, 10_000);
    const ran = await running;
    stage.upstream.set({ retryAfter: 1 });
    assert.deepEqual([callsWhileAway, callsOf('second'), ran.completed], [1, 2, 2]);
  });

  it('keeps an answer while the bucket is away', async () => {
    const { pieces } = stage.deps;
    const batch = await stage.begin(scripted('marker=kept'));
    let failures = 2;
    const flaky: PieceStore = {
      ...pieces,
      async putPiece(at, results) {
        if (failures-- > 0) throw new ObjectStoreError('put', 'x', new Error('connect ECONNREFUSED'));
        await pieces.putPiece(at, results);
      },
    };
    const ran = await run(stage.worker({ pieces: flaky }).runRequests, slice(batch, 1, 1));
    assert.deepEqual([ran.completed, callsOf('kept'), (await stage.entries(batch)).length], [1, 1, 1]);
  });
});

describe('runRequests, after lost workers', () => {
  const lost = (changes: object) => ({
    attempt: 1,
    faults: 0,
    refusals: 0,
    sent: false,
    ended: false,
    losses: 0,
    losses_on_wire: 0,
    ...changes,
  });

  it('splits a slice of many at the third attempt, what is stored excepted', async () => {
    const batch = await stage.begin(scripted('marker=x', 'marker=y', 'marker=z'));
    await run(stage.worker().runRequests, slice(batch, 2, 2));
    const ran = await attempt({ attempt: 3 }).run(stage.worker().runRequests, slice(batch, 1, 3, { faults: 1 }));
    assert.deepEqual(ran.covered, [[2, 2]]);
    assert.deepEqual(ran.again, [
      { line: 1, faults: 1 },
      { line: 3, faults: 1 },
    ]);
    assert.equal(callsOf('x') + callsOf('z'), 0);
  });

  it('does not split what ended by itself twice', async () => {
    const batch = await stage.begin(chatLines(2));
    const ran = await attempt({ attempt: 3, heartbeatDetails: lost({ attempt: 2, ended: true }) }).run(
      stage.worker().runRequests,
      slice(batch, 1, 2),
    );
    assert.equal(ran.completed, 2);
  });

  it('lets a suspect say that it is on the wire before it is', async () => {
    const batch = await stage.begin(scripted('marker=suspect'));
    const { run: runAttempt, onBeat } = attempt({
      attempt: 3,
      heartbeatDetails: lost({ attempt: 2, sent: true, losses: 1, losses_on_wire: 1 }),
    });
    const callsAtBeat: [unknown, number][] = [];
    onBeat((details) => callsAtBeat.push([details['sent'], callsOf('suspect')]));
    await runAttempt(stage.worker().runRequests, slice(batch, 1, 1));
    assert.deepEqual([callsAtBeat, callsOf('suspect')], [[[true, 0]], 1]);
  });

  for (const [together, lossesOnWire] of [
    [8, 0],
    [2, 2],
    [1, 3],
  ] as const) {
    it(`sends ${together} suspects at a time that were on the wire ${lossesOnWire} times when their worker was lost`, async () => {
      const count = 2 * together + 1;
      const batch = await stage.begin(scripted(...Array.from({ length: count }, () => 'delay=1500')));
      const worker = stage.worker();
      const heartbeatDetails = lost({ attempt: 6, losses: 5, losses_on_wire: lossesOnWire });
      const suspect = async (line: number) =>
        await attempt({ attempt: 7, heartbeatDetails }).run(worker.runRequests, slice(batch, line, line));
      await Promise.all(Array.from({ length: count }, async (_, index) => await suspect(index + 1)));
      assert.equal(stage.upstream.stats.maxInFlight, together);
    });
  }

  it('keeps no other lines out while suspects wait for each other', async () => {
    const intake = stage.deps.upstreams.get('example')?.intake;
    assert.ok(intake);
    const suspects = 200;
    const batch = await stage.begin(scripted(...Array.from({ length: suspects }, () => 'delay=60000')));
    const worker = stage.worker();
    const attempts = Array.from({ length: suspects }, () => attempt({ attempt: 3 }));
    const runs = attempts.map(
      async (each, index) => await each.run(worker.runRequests, slice(batch, index + 1, index + 1, { cancelGraceMs: 0 })),
    );
    await until(() => stage.upstream.stats.inFlight > 0, { what: 'a suspect on the wire' });
    const room = intake.reserveNow();
    for (const { cancel } of attempts) cancel();
    await Promise.all(runs);
    assert.ok(room);
    room.end();
  });

  it('ends a request whose worker was lost with it on the wire for the fifth time', async () => {
    const batch = await stage.begin(scripted('marker=poison'));
    const details = lost({ attempt: 6, sent: true, losses: 5, losses_on_wire: 4 });
    const ran = await attempt({ attempt: 7, heartbeatDetails: details }).run(stage.worker().runRequests, slice(batch, 1, 1));
    assert.deepEqual([ran.covered, ran.failed, callsOf('poison')], [[[1, 1]], 1, 0]);
    const lines = (await collect(stage.deps.pieces.readResultLines(await stage.entries(batch)))).flat();
    assert.equal(JSON.parse(String(lines[0])).error.code, 'request_crashed_worker');
  });

  it('does not count a loss while a long line is checked, and says so before the line is held', async () => {
    const [batch, long] = [await stage.begin(scripted('delay=4000')), await stage.submit(chatLine('long', 'x'.repeat(3_000_000)))];
    const worker = stage.worker({ heartbeatThrottleMs: 100 });
    const { run: runAttempt, beats } = attempt({ attempt: 7, heartbeatDetails: lost({ attempt: 6, losses: 5, losses_on_wire: 4 }) });
    const running = runAttempt(worker.runRequests, slice(batch, 1, 1));
    await until(() => stage.upstream.stats.inFlight > 0, { what: 'the suspect on the wire' });
    assert.partialDeepStrictEqual(beats.at(-1), { sent: true, excused: false });
    const count = beats.length;
    assert.equal((await run(worker.validateInput, long)).verdict, 'accepted');
    assert.partialDeepStrictEqual(beats[count], { sent: true, excused: true });

    // The worker is lost now: the next attempt sends it again, where the fifth loss that counts would end it.
    const next = attempt({ attempt: 8, heartbeatDetails: beats[count] });
    assert.equal((await next.run(worker.runRequests, slice(batch, 1, 1))).completed, 1);
    assert.equal((await running).completed, 1);
  });

  it('does not count the loss of a request that is no suspect yet, because nothing tells it of heavy work', async () => {
    const batch = await stage.begin(scripted('delay=8500'));
    const { run: runAttempt, beats } = attempt({ attempt: 2, heartbeatDetails: lost({ attempt: 1 }) });
    await runAttempt(stage.worker().runRequests, slice(batch, 1, 1));
    assert.partialDeepStrictEqual(beats[0], { sent: true, excused: true, losses: 1 });
  });

  it('does not count losses with the request not on the wire', async () => {
    const batch = await stage.begin(scripted('marker=innocent'));
    const details = lost({ attempt: 6, sent: false, losses: 5, losses_on_wire: 4 });
    const ran = await attempt({ attempt: 7, heartbeatDetails: details }).run(stage.worker().runRequests, slice(batch, 1, 1));
    assert.deepEqual([ran.completed, callsOf('innocent')], [1, 1]);
  });
});

describe('runRequests, what it tells', () => {
  it('beats first after 8 s, in words for people', async () => {
    const customId = `ü${createHash('sha256').update('x').digest('hex')}more`;
    const batch = await stage.begin(chatLine(customId, 'delay=8500'));
    const { run: runAttempt, beats } = attempt();
    const ran = await runAttempt(stage.worker().runRequests, slice(batch, 1, 1, { faults: 2 }));
    assert.equal(ran.completed, 1);
    assert.equal(beats.length, 1);
    const { custom_id, line, waiting, faults, refusals, sent, ended } = beats[0] ?? {};
    assert.deepEqual(
      { custom_id, line, waiting, faults, refusals, sent, ended },
      {
        custom_id: customId.slice(0, 64),
        line: 1,
        waiting: null,
        faults: 2,
        refusals: 0,
        sent: true,
        ended: false,
      },
    );
  });

  it('says why a worker that does not know the upstream fails, and may be retried', async () => {
    const batch = await stage.begin(chatLines(1));
    await assert.rejects(run(stage.worker().runRequests, slice(batch, 1, 1, { upstream: 'nobody' })), (error) => {
      assert.ok(error instanceof ApplicationFailure);
      return error.type === 'UnknownUpstream' && !error.nonRetryable;
    });
  });
});

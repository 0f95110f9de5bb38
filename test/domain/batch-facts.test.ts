import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Batch } from '../../src/domain/batch.ts';
import { type BatchFacts, describeFacts, failuresSoFar, type WorkerReport } from '../../src/domain/batch-facts.ts';
import { groupFailures, sumFailures, toFailure } from '../../src/domain/failures.ts';
import { newBatch } from '../../src/domain/new-batch.ts';
import { addOutcome, emptyTally, failuresOf, uniteTallies } from '../../src/domain/shard-tally.ts';
import { describeWait, type WaitFact, WAITING_REASONS, type WaitingReason } from '../../src/domain/waiting.ts';

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const SINCE_MS = Date.UTC(2026, 0, 2, 3, 0);
const FAILURE = toFailure({ status: 400, code: 'invalid_request_error', message: 'The prompt is too long.' });

const BATCH: Batch = {
  ...newBatch({
    id: 'batch_1',
    endpoint: '/v1/chat/completions',
    inputFileId: 'file-1',
    completionWindow: '24h',
    windowMs: 86_400_000,
    nowSeconds: NOW_MS / 1000 - 600,
    metadata: null,
  }),
  status: 'in_progress',
  in_progress_at: NOW_MS / 1000 - 590,
  request_counts: { total: 100, completed: 10, failed: 0 },
};
const NOTHING: BatchFacts = { queues: [], failures: [], reports: [] };
const fact = (reason: WaitingReason, more: Partial<WaitFact> = {}): WaitFact => ({
  ...{ reason, upstream: 'gpu', serverSays: null, sinceMs: SINCE_MS },
  ...more,
});
const report = (more: Partial<WorkerReport>): WorkerReport => ({
  ...{ worker: 'a', atMs: NOW_MS - 1_000, inFlight: 0, linesPerSecond: 0, waiting: [] },
  ...more,
});
const shown = (facts: Partial<BatchFacts>, batch = BATCH) => describeFacts(batch, { ...NOTHING, ...facts }, NOW_MS);

describe('describeWait', () => {
  it('says for every reason what the lines wait for, since when and what the server said', () => {
    const more: Partial<Record<WaitingReason, Partial<WaitFact>>> = {
      upstream_away: { serverSays: 'connect ECONNREFUSED' },
      upstream_denies: { serverSays: 'status 401: wrong key', model: 'm' },
      quiet_hours: { until: '19:00 Europe/Berlin' },
      places: { position: { position: 3, of: 1200 } },
      paused: { pausedBy: 'batch' },
      backoff: { serverSays: 'status 500: oops' },
    };
    const sentences = Object.fromEntries(WAITING_REASONS.map((reason) => [reason, describeWait(fact(reason, more[reason]))]));
    assert.deepEqual(sentences, {
      upstream_away: 'Waits for upstream gpu, which cannot be reached since 2026-01-02 03:00 UTC: connect ECONNREFUSED',
      upstream_refuses: 'Waits for upstream gpu, which refuses requests since 2026-01-02 03:00 UTC',
      upstream_fails: 'Waits for upstream gpu, which fails every request since 2026-01-02 03:00 UTC',
      upstream_denies: 'Waits for model "m" at upstream gpu, which denies access since 2026-01-02 03:00 UTC: status 401: wrong key',
      quiet_hours: 'Waits until 19:00 Europe/Berlin, because upstream gpu has quiet hours',
      budget: 'Waits for the rate limit of upstream gpu',
      places: 'Waits for upstream gpu, which is busy with other requests: position 3 of 1,200 in your queue',
      paused: 'The batch is paused since 2026-01-02 03:00 UTC. Resume it to go on',
      bucket: 'Waits for the bucket, which stores results too slowly',
      no_worker: 'Waits for a worker: none has taken requests of this batch since 2026-01-02 03:00 UTC. Check that a worker runs',
      backoff: 'Waits before the next try at upstream gpu: status 500: oops',
    });
  });
});

describe('describeFacts', () => {
  it('sums what the workers of now report, and forgets those that are silent', () => {
    const waiting = [{ ...fact('upstream_away', { serverSays: 'refused' }), lines: 4 }];
    const later = [{ ...fact('upstream_away', { sinceMs: NOW_MS }), lines: 3 }];
    const {
      lines_per_second,
      eta_at,
      in_flight,
      waiting: found,
    } = shown({
      reports: [
        report({ inFlight: 2, linesPerSecond: 1, waiting }),
        report({ worker: 'b', inFlight: 3, linesPerSecond: 2, waiting: later }),
        report({ worker: 'gone', atMs: NOW_MS - 31_000, inFlight: 50, linesPerSecond: 50 }),
      ],
    });
    assert.deepEqual([lines_per_second, in_flight], [3, 5]);
    assert.equal(eta_at, NOW_MS / 1000 - 1 + 30);
    assert.deepEqual(
      found?.map(({ reason, lines, since }) => [reason, lines, since]),
      [['upstream_away', 7, SINCE_MS / 1000]],
    );
  });

  it('says that no worker takes requests once all have been silent for 30 s, and not in the first moments', () => {
    const reasons = (batch: Batch, reports: WorkerReport[]) =>
      shown({ reports }, batch).waiting?.map(({ reason, lines }) => [reason, lines]);
    assert.deepEqual(reasons(BATCH, []), [['no_worker', 90]]);
    assert.deepEqual(reasons(BATCH, [report({ atMs: NOW_MS - 40_000 })]), [['no_worker', 90]]);
    assert.deepEqual(reasons({ ...BATCH, in_progress_at: NOW_MS / 1000 - 20 }, []), []);
  });

  it('says places only where nothing of the batch is in flight, and the position in the queue', () => {
    const waiting = [{ ...fact('places'), lines: 5 }];
    assert.deepEqual(shown({ reports: [report({ inFlight: 1, waiting })] }).waiting, []);
    assert.equal(shown({ reports: [report({ waiting })] }).waiting?.[0]?.reason, 'places');
    const [queued] = shown({ queues: [{ upstream: 'gpu', place: 2, of: 7 }] }).waiting ?? [];
    assert.equal(queued?.message, 'Waits for upstream gpu, which is busy with other requests: position 2 of 7 in your queue.');
  });

  it('says paused and nothing else, also while the input is checked', () => {
    const paused: Batch = { ...BATCH, nightshift: { paused_at: SINCE_MS / 1000 } };
    const { waiting } = describeFacts(
      { ...paused, status: 'validating', request_counts: { total: 0, completed: 0, failed: 0 } },
      null,
      NOW_MS,
    );
    assert.deepEqual(
      waiting?.map(({ reason, lines, message }) => [reason, lines, message]),
      [['paused', null, 'The batch is paused since 2026-01-02 03:00 UTC. Resume it to go on.']],
    );
  });

  it('drops a backoff that has ended', () => {
    const waiting = [{ ...fact('backoff'), lines: 1, untilMs: NOW_MS - 1 }];
    assert.deepEqual(shown({ reports: [report({ waiting })] }).waiting, []);
  });

  it('counts failures of closed shards and of open ones once each', () => {
    const tally = emptyTally();
    for (const line of [1, 2]) addOutcome(tally, line, 'failed', { failure: FAILURE, customId: `c${line}` });
    const closed = { shards: [[0, 0]] as [number, number][], failures: groupFailures([{ failure: FAILURE, customId: 'a' }]) };
    const tallies = new Map([0, 1, 12].map((shard) => [shard, tally]));
    const failures = failuresSoFar({ closed, tallies, unclosed: [[0, 9]] });
    assert.deepEqual(failures, [{ ...FAILURE, lines: 3, example: 'a', custom_ids: ['a', 'c1', 'c2'] }]);
  });
});

describe('groups of failures', () => {
  it('are at most 50, and count every line', () => {
    const lines = Array.from({ length: 300 }, (_, at) => ({ failure: { ...FAILURE, message: `id ${at}` }, customId: `c${at}` }));
    const groups = groupFailures(lines);
    assert.deepEqual([groups.length, groups[0]?.code, groups[0]?.lines], [50, 'other', 251]);
    const twice = sumFailures([groups, groupFailures(lines.toReversed())]);
    assert.ok(twice.length <= 50);
    assert.equal(
      twice.reduce((sum, group) => sum + group.lines, 0),
      600,
    );
  });

  it('keep 80 characters of a message on one line', () => {
    assert.equal(toFailure({ ...FAILURE, message: `a\n\u2028b${'c'.repeat(100)}` }).message, `a b${'c'.repeat(77)}`);
  });

  it('count a line once in a shard, whoever tells it, and not if it is completed', () => {
    const [one, two] = [emptyTally(), emptyTally()];
    for (const tally of [one, two]) addOutcome(tally, 1, 'failed', { failure: FAILURE, customId: 'c1' });
    addOutcome(two, 2, 'failed', { failure: FAILURE, customId: 'c2' });
    addOutcome(two, 1, 'completed');
    assert.deepEqual(failuresOf(uniteTallies(one, two)), [{ ...FAILURE, lines: 1, example: 'c2', custom_ids: ['c2'] }]);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BATCH_STATUSES, type Batch, type BatchStatus } from '../../src/domain/batch.ts';
import { canCancel, raiseCounts, started, transition } from '../../src/domain/lifecycle.ts';
import { newBatch } from '../../src/domain/new-batch.ts';

const fresh = newBatch({
  id: 'batch_1',
  endpoint: '/v1/chat/completions',
  inputFileId: 'file-1',
  completionWindow: '24h',
  windowMs: 86_400_000,
  metadata: null,
  nowSeconds: 1000,
});
const inStatus = (status: BatchStatus): Batch => ({ ...fresh, status });
const counted = (total: number, completed: number, failed: number): Batch => ({ ...fresh, request_counts: { total, completed, failed } });

describe('transition(batch, to)', () => {
  it('allows the edges of the drawing and no other', () => {
    const legal = BATCH_STATUSES.flatMap((from) =>
      BATCH_STATUSES.filter((to) => transition(inStatus(from), to, 2000) !== null).map((to) => `${from} > ${to}`),
    );
    assert.deepEqual(legal.sort(), [
      'cancelling > cancelled',
      'finalizing > cancelling',
      'finalizing > completed',
      'in_progress > cancelling',
      'in_progress > expired',
      'in_progress > finalizing',
      'validating > cancelling',
      'validating > expired',
      'validating > failed',
      'validating > in_progress',
    ]);
  });

  it('sets the timestamp of the new status and nothing else', () => {
    assert.deepEqual(transition(fresh, 'in_progress', 1003), { ...fresh, status: 'in_progress', in_progress_at: 1003 });
    assert.equal(fresh.status, 'validating');
  });

  it('never goes below a timestamp that is there, whatever the clock says', () => {
    const running = transition(fresh, 'in_progress', 1500);
    assert.ok(running);
    assert.equal(transition(running, 'cancelling', 900)?.cancelling_at, 1500);
    assert.equal(transition(fresh, 'failed', 900)?.failed_at, 1000);
    assert.equal(transition(running, 'expired', 900)?.expired_at, fresh.expires_at);
  });

  it('keeps timestamps in order along every path', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...BATCH_STATUSES), fc.integer({ min: 0, max: 5000 }))), (moves) => {
        let batch = fresh;
        let latest = fresh.created_at;
        for (const [to, now] of moves) {
          const next = transition(batch, to, now);
          if (next === null) continue;
          const at = [
            next.in_progress_at,
            next.finalizing_at,
            next.completed_at,
            next.failed_at,
            next.expired_at,
            next.cancelling_at,
            next.cancelled_at,
          ];
          assert.ok(at.every((time) => time === null || time >= fresh.created_at));
          assert.equal(Math.max(...at.map((time) => time ?? 0)) >= latest, true);
          latest = Math.max(...at.map((time) => time ?? 0));
          batch = next;
        }
      }),
    );
  });
});

describe('canCancel(status)', () => {
  it('begins, leaves alone or refuses', () => {
    const verdicts = Object.fromEntries(BATCH_STATUSES.map((status) => [status, canCancel(status)]));
    assert.deepEqual(verdicts, {
      validating: 'cancel',
      in_progress: 'cancel',
      finalizing: 'cancel',
      cancelling: 'unchanged',
      cancelled: 'unchanged',
      completed: 'refused',
      failed: 'refused',
      expired: 'refused',
    });
  });
});

describe('raiseCounts(batch, counts)', () => {
  it('takes what is higher', () => {
    assert.deepEqual(raiseCounts(counted(10, 2, 3), { completed: 4, failed: 1 }).request_counts, { total: 10, completed: 4, failed: 3 });
  });

  it('answers the same object when nothing is higher', () => {
    const batch = counted(10, 2, 3);
    assert.equal(raiseCounts(batch, { completed: 2, failed: 0 }), batch);
  });

  it('keeps failed within what is left', () => {
    assert.deepEqual(raiseCounts(counted(10, 0, 0), { completed: 8, failed: 5 }).request_counts, { total: 10, completed: 8, failed: 2 });
    assert.deepEqual(raiseCounts(fresh, { completed: 1, failed: 1 }).request_counts, { total: 0, completed: 0, failed: 0 });
  });

  it('never steps back and never passes the total', () => {
    const count = fc.nat({ max: 12 });
    fc.assert(
      fc.property(fc.array(fc.record({ completed: count, failed: count })), (reports) => {
        let batch = counted(10, 0, 0);
        for (const report of reports) {
          const { request_counts: before } = batch;
          batch = raiseCounts(batch, report);
          const { request_counts: after } = batch;
          assert.ok(after.completed >= before.completed && after.failed >= before.failed);
          assert.ok(after.completed + after.failed <= 10);
        }
      }),
    );
  });
});

describe('started(batch)', () => {
  it('is true from in_progress on, through a cancel too', () => {
    const running = transition(fresh, 'in_progress', 1001);
    assert.ok(running);
    assert.equal(started(fresh), false);
    assert.equal(started(running), true);
    assert.equal(started(transition(running, 'cancelling', 1002) ?? fresh), true);
    assert.equal(started(transition(fresh, 'cancelling', 1002) ?? running), false);
  });
});

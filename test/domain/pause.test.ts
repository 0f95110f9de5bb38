import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BATCH_STATUSES, type Batch, type BatchRecord } from '../../src/domain/batch.ts';
import { transition } from '../../src/domain/lifecycle.ts';
import { newBatch } from '../../src/domain/new-batch.ts';
import { dueMs } from '../../src/domain/overdue.ts';
import { heardRecord, isHeld, pausedAt, pauseRecord, resumeRecord, whyNotPause, windowEndMs } from '../../src/domain/pause.ts';

const CREATED = 1_000;

function record(members: Partial<Batch> = {}): BatchRecord {
  const batch = newBatch({
    id: 'batch_1',
    endpoint: '/v1/chat/completions',
    inputFileId: 'file-1',
    completionWindow: '24h',
    windowMs: 100_000,
    metadata: null,
    nowSeconds: CREATED,
  });
  return { batch: { ...batch, ...members }, tenant: 'acme', output_expires_after_seconds: null };
}

function paused(stopsWindow = false, members: Partial<Batch> = {}): BatchRecord {
  const found = pauseRecord(record(members), { nowSeconds: 1_020, stopsWindow });
  assert.ok(found);
  return found;
}

describe('a pause in the record', () => {
  it('is possible while the batch has requests to hold back and its window has not ended', () => {
    const possible = BATCH_STATUSES.filter((status) => whyNotPause(record({ status }), 1_050) === null);
    assert.deepEqual(possible, ['validating', 'in_progress']);
    assert.equal(whyNotPause(record(), 1_099), null);
    assert.equal(whyNotPause(record(), 1_100), 'window');
    for (const status of BATCH_STATUSES) {
      const after = pauseRecord(record({ status }), { nowSeconds: 1_020, stopsWindow: false });
      assert.equal(after === null, !possible.includes(status), status);
    }
  });

  it('changes nothing the second time, and counts pauses and resumes', () => {
    const first = paused();
    assert.equal(pausedAt(first.batch), 1_020);
    assert.equal(pauseRecord(first, { nowSeconds: 1_030, stopsWindow: false }), null);
    const second = resumeRecord(first, 1_030);
    assert.ok(second);
    assert.deepEqual([pausedAt(second.batch), second.batch.nightshift, second.batch.expires_at], [null, undefined, 1_100]);
    assert.equal(resumeRecord(second, 1_040), null);
    assert.deepEqual([first.pause?.changes, second.pause?.changes], [1, 2]);
  });

  it('leaves other additions as they are', () => {
    const found = paused(false, { nightshift: { retry_of: 'batch_0' } });
    assert.deepEqual(found.batch.nightshift, { retry_of: 'batch_0', paused_at: 1_020 });
    assert.deepEqual(resumeRecord(found, 1_030)?.batch.nightshift, { retry_of: 'batch_0' });
  });

  it('stops the window where that is wanted, and moves its end by as much', () => {
    assert.deepEqual([windowEndMs(paused()), windowEndMs(paused(true))], [1_100_000, null]);
    assert.deepEqual([dueMs(paused(), 0), dueMs(paused(true), 0)], [1_100_000, Infinity]);
    const resumed = resumeRecord(paused(true), 1_520);
    assert.ok(resumed);
    assert.deepEqual([resumed.batch.expires_at, windowEndMs(resumed)], [1_600, 1_600_000]);
    assert.equal(resumeRecord(paused(true), 900)?.batch.expires_at, 1_100, 'a clock that was set back shortens no window');
  });

  it('holds the batch until the window ends', () => {
    assert.deepEqual(
      [isHeld(record(), 0), isHeld(paused(), 1_099_999), isHeld(paused(), 1_100_000), isHeld(paused(true), 9e12)],
      [false, true, false, true],
    );
  });

  it('ends when the batch is finalized, cancelled or over, and not when it is validated', () => {
    assert.equal(pausedAt(transition(paused().batch, 'in_progress', 1_030) ?? record().batch), 1_020);
    for (const [from, to] of [
      ['in_progress', 'finalizing'],
      ['in_progress', 'cancelling'],
      ['in_progress', 'expired'],
      ['validating', 'failed'],
    ] as const) {
      const moved = transition(paused(false, { status: from }).batch, to, 1_030);
      assert.ok(moved);
      assert.equal(pausedAt(moved), null, to);
    }
  });

  it('is noted as heard once', () => {
    const found = heardRecord(paused());
    assert.deepEqual([heardRecord(record()), found?.pause?.isHeard, found === null ? 0 : heardRecord(found)], [null, true, null]);
  });
});

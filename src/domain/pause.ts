import { type Batch, type BatchRecord, type BatchStatus, isTerminal } from './batch.ts';

/** Statuses in which a batch can be paused: there are requests to hold back. */
const PAUSABLE: readonly BatchStatus[] = ['validating', 'in_progress'];

/** Since when the batch is paused, Unix seconds; null while it is not. */
export function pausedAt(batch: Pick<Batch, 'nightshift'>): number | null {
  return batch.nightshift?.paused_at ?? null;
}

/** Why a batch cannot be paused now; null when it can. `nowSeconds` is Unix time. */
export function whyNotPause(record: BatchRecord, nowSeconds: number): 'status' | 'window' | null {
  if (!PAUSABLE.includes(record.batch.status)) return 'status';
  const endMs = windowEndMs(record);
  // The workflow may have ended the batch already.
  return endMs !== null && nowSeconds * 1000 >= endMs ? 'window' : null;
}

/** The record of a batch that is paused from now on; null where nothing is to change, or nothing can. */
export function pauseRecord(
  record: BatchRecord,
  { nowSeconds, stopsWindow }: { nowSeconds: number; stopsWindow: boolean },
): BatchRecord | null {
  const { batch } = record;
  if (pausedAt(batch) !== null || whyNotPause(record, nowSeconds) !== null) return null;
  const paused_at = Math.max(nowSeconds, batch.created_at, batch.in_progress_at ?? 0);
  return { ...changed(record, stopsWindow), batch: { ...batch, nightshift: { ...batch.nightshift, paused_at } } };
}

/** The record of a batch that goes on from now; null where it is not paused. Where the window stood still, it ends as much later. */
export function resumeRecord(record: BatchRecord, nowSeconds: number): BatchRecord | null {
  const { batch } = record;
  const since = pausedAt(batch);
  if (since === null) return null;
  const stoodStill = record.pause?.stopsWindow === true ? Math.max(0, nowSeconds - since) : 0;
  const resumed = { ...withoutPause(batch), expires_at: batch.expires_at + stoodStill };
  return { ...changed(record, record.pause?.stopsWindow === true), batch: resumed };
}

/** The batch as one that is not paused. */
export function withoutPause(batch: Batch): Batch {
  if (pausedAt(batch) === null) return batch;
  const { nightshift: { paused_at: _, ...others } = {}, ...rest } = batch;
  return Object.keys(others).length === 0 ? rest : { ...rest, nightshift: others };
}

/** When the completion window ends, Unix milliseconds; null while it stands still. */
export function windowEndMs({ batch, pause }: BatchRecord): number | null {
  return pausedAt(batch) !== null && pause?.stopsWindow === true ? null : batch.expires_at * 1000;
}

/** Whether a pause keeps the batch from going on at this moment. Once the window has ended, it does so no more. */
export function isHeld(record: BatchRecord, nowMs: number): boolean {
  const endMs = windowEndMs(record);
  return pausedAt(record.batch) !== null && (endMs === null || nowMs < endMs);
}

/** What the requests of a batch may do: go out, wait, or come to an end. A batch without a record is ending. */
export type Standing = 'running' | 'paused' | 'ending';

export function standingOf(record: BatchRecord | null, nowMs: number): Standing {
  if (record === null || record.batch.status === 'cancelling' || isTerminal(record.batch.status)) return 'ending';
  return isHeld(record, nowMs) ? 'paused' : 'running';
}

/** The record as one whose last pause or resume the workflow has read; null where that is noted already. */
export function heardRecord(record: BatchRecord): BatchRecord | null {
  return record.pause === undefined || record.pause.isHeard ? null : { ...record, pause: { ...record.pause, isHeard: true } };
}

function changed(record: BatchRecord, stopsWindow: boolean): BatchRecord {
  return { ...record, pause: { changes: (record.pause?.changes ?? 0) + 1, isHeard: false, stopsWindow } };
}

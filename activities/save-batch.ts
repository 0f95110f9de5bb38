import { ApplicationFailure } from '@temporalio/activity';
import type { Batch, BatchRecord } from '../src/domain/batch.ts';
import { raiseCounts, started, transition } from '../src/domain/lifecycle.ts';
import { heardRecord, isHeld, pausedAt, pauseRecord, resumeRecord, windowEndMs } from '../src/domain/pause.ts';
import type { PlanHead } from '../src/domain/plan.ts';
import type { SaveBatchInput, SavedBatch } from '../workflows/contract.ts';
import type { ActivityDeps } from './deps.ts';
import type { EndBatch } from './end-batch.ts';

/**
 * Moves the record where that is legal. A second run finds the record moved, for which the same move is illegal, and answers
 * it as it stands.
 */
export function createSaveBatch(deps: Pick<ActivityDeps, 'batches' | 'pieces' | 'nowMs' | 'pauseStopsWindow'> & { endBatch: EndBatch }) {
  const { batches, pieces, nowMs, pauseStopsWindow, endBatch } = deps;

  /** The record as it stands; that the workflow reads it is noted, so that the sweep need not tell it. */
  async function read(tenant: string, batchId: string): Promise<BatchRecord | null> {
    const found = await batches.get(tenant, batchId);
    return found === null || heardRecord(found) === null ? found : await batches.update(tenant, batchId, heardRecord);
  }

  return async function saveBatch({ tenant, batchId, to, counts, pause }: SaveBatchInput): Promise<SavedBatch> {
    if (pause !== undefined) {
      const nowSeconds = Math.floor(nowMs() / 1000);
      await batches.update(tenant, batchId, (found) =>
        pause ? pauseRecord(found, { nowSeconds, stopsWindow: pauseStopsWindow }) : resumeRecord(found, nowSeconds),
      );
    }
    const head = to === 'in_progress' || to === 'failed' ? await pieces.getPlanHead(batchId) : null;
    const nowSeconds = Math.floor(nowMs() / 1000);
    const change = (found: BatchRecord): BatchRecord | null => {
      // Once a batch has started, only `publishResults` ends it: with its files.
      if (to === null || (endsWithFiles(to) && started(found.batch))) return null;
      // Paused a moment ago: the workflow learns of it by this answer.
      if (to === 'finalizing' && isHeld(found, nowMs())) return null;
      const raised = counts === null ? found.batch : raiseCounts(found.batch, counts);
      const moved = transition(raised, to, nowSeconds);
      return moved === null ? null : { ...found, batch: withPlan(moved, head) };
    };
    const record = to === null ? await read(tenant, batchId) : await batches.update(tenant, batchId, change);
    if (record === null) throw unknownBatch();
    // The last act; should it fail, the next attempt finds the record terminal and comes here again.
    await endBatch(record);
    return asSaved(record);
  };
}

/** What the workflow learns of a record. */
export function asSaved(record: BatchRecord): SavedBatch {
  const { batch, pause } = record;
  return {
    status: batch.status,
    started: started(batch),
    pause: { changes: pause?.changes ?? 0, isPaused: pausedAt(batch) !== null, windowEndMs: windowEndMs(record) },
  };
}

/** There is no such record, and no retry makes one: the workflow fails, and the sweep looks after the marker. */
export function unknownBatch(): ApplicationFailure {
  return ApplicationFailure.nonRetryable('The batch has no record.', 'BatchUnknown');
}

function endsWithFiles(to: Batch['status']): boolean {
  return to === 'completed' || to === 'expired' || to === 'cancelled';
}

/** What validation has found out: size and model of an accepted input, the errors of a refused one. */
function withPlan(batch: Batch, head: PlanHead | null): Batch {
  if (batch.status !== 'in_progress' && batch.status !== 'failed') return batch;
  if (head?.verdict === 'accepted' && batch.status === 'in_progress') {
    return { ...batch, model: head.model, request_counts: { ...batch.request_counts, total: head.total } };
  }
  if (head?.verdict === 'refused' && batch.status === 'failed') return { ...batch, errors: { object: 'list', data: head.errors } };
  throw ApplicationFailure.nonRetryable(`The plan does not lead to ${batch.status}.`, 'PlanContradictsRecord');
}

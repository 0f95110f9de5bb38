import { ApplicationFailure } from '@temporalio/activity';
import { isTerminal } from '../src/domain/batch.ts';
import type { OpenBatch } from '../src/storage/batch-store.ts';
import type { SweepResult } from '../workflows/contract.ts';
import { type Beating, startBeating } from './beating.ts';
import type { ActivityDeps } from './deps.ts';

/** A marker without a record that is older was left by a creation that nobody finished. */
const ORPHAN_AGE_MS = 3_600_000;
/** How long an Idempotency-Key is remembered. */
const IDEMPOTENCY_AGE_MS = 24 * 3_600_000;

/**
 * Starts what ought to run and removes what nobody needs. Every step looks at the bucket and does what is missing, so it may
 * be cut short anywhere and run again at any moment.
 */
export function createSweep(
  deps: Pick<ActivityDeps, 'batches' | 'housekeeping' | 'runs' | 'nowMs' | 'sweepMinAgeMs' | 'uploadMarkerMaxAgeMs' | 'logger'>,
) {
  const { batches, housekeeping, runs, nowMs, sweepMinAgeMs, uploadMarkerMaxAgeMs, logger } = deps;

  /** Looks after one batch that has not ended, or has and left its marker. */
  async function lookAfter(marker: OpenBatch, running: () => Promise<Set<string>>, result: SweepResult): Promise<void> {
    const { tenant, id, since, inputFileId } = marker;
    const ageMs = nowMs() - since.getTime();
    if (ageMs < sweepMinAgeMs) return;
    const record = await batches.get(tenant, id);
    if (record === null ? ageMs >= ORPHAN_AGE_MS : isTerminal(record.batch.status)) {
      await batches.removeOpen(tenant, id);
      result.removed += 1;
      // The creation may have stood still until just now, and have seen its marker before we took it.
      if (record === null && (await batches.get(tenant, id)) !== null) await batches.markOpen(tenant, id, inputFileId);
    } else if (record !== null) {
      if (!(await running()).has(id)) {
        // Reads its record first: one that is cancelled meanwhile hears of it.
        await runs.start(record);
        result.started += 1;
      } else if (record.batch.status === 'cancelling') {
        await runs.cancel(id);
        result.signalled += 1;
      }
    }
  }

  /** The open batches by id, and the input files they read. One batch that cannot be helped does not stop the others. */
  async function lookAfterBatches(
    result: SweepResult,
    beating: Beating,
  ): Promise<{ open: Set<string>; inputs: Set<string>; failed: number }> {
    const open = new Set<string>();
    const inputs = new Set<string>();
    let failed = 0;
    // One visibility list, and only when there is somebody to ask about.
    let asked: Promise<Set<string>> | null = null;
    const running = () => (asked ??= runs.running());
    for await (const marker of batches.listOpen()) {
      await beating.step();
      open.add(marker.id);
      inputs.add(`${marker.tenant}/${marker.inputFileId}`);
      try {
        await lookAfter(marker, running, result);
      } catch (error) {
        failed += 1;
        logger.warn({ err: error, batch: marker.id, tenant: marker.tenant }, 'the sweep could not look after a batch');
      }
    }
    return { open, inputs, failed };
  }

  return async function sweep(): Promise<SweepResult> {
    const result: SweepResult = { started: 0, signalled: 0, removed: 0 };
    using beating = startBeating(() => ({ ...result }));
    // Before the markers: what has none by then has ended, since a batch writes its marker before anything under `work/`.
    const beganMs = nowMs();
    const work = await housekeeping.listWork();
    const { open, inputs, failed } = await lookAfterBatches(result, beating);

    async function removeAllWork(): Promise<number> {
      let removed = 0;
      let failure: unknown = null;
      for (const batchId of work) {
        await beating.step();
        if (open.has(batchId)) continue;
        try {
          removed += await housekeeping.removeWork(batchId, beating.check);
        } catch (error) {
          beating.check();
          failure = error;
        }
      }
      if (failure !== null) throw failure;
      return removed;
    }

    const { check } = beating;
    const steps = {
      'work of ended batches': removeAllWork,
      'expired files': async () => await housekeeping.removeExpiredFiles(beganMs, inputs, check),
      'stale uploads': async () => await housekeeping.removeStaleUploads(beganMs, uploadMarkerMaxAgeMs, inputs, check),
      'expired uploads': async () => await housekeeping.removeExpiredUploads(beganMs, check),
      'old idempotency entries': async () => await housekeeping.removeOldIdempotency(beganMs, IDEMPOTENCY_AGE_MS, check),
      // Last, because the bucket answers late while a client reads an object that is to be removed.
      'contents of deleted files': async () => await housekeeping.removeDeletedContent(beganMs, inputs, check),
    };
    const failures = failed === 0 ? [] : [`${failed} open batches`];
    for (const [what, remove] of Object.entries(steps)) {
      try {
        result.removed += await remove();
      } catch (error) {
        check();
        failures.push(what);
        logger.warn({ err: error, step: what }, 'a step of the sweep failed');
      }
    }
    // Only now, so that one failure keeps nothing else from being swept.
    if (failures.length > 0) throw ApplicationFailure.retryable(`Could not be looked after: ${failures.join(', ')}.`, 'SweepIncomplete');
    return result;
  };
}

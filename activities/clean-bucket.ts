import { Context } from '@temporalio/activity';
import { isJsonRecord } from '../src/domain/json-type.ts';
import type { Cleaned, Stretch } from '../src/storage/stretches.ts';
import { CLEAN_STEPS, type CleanBucketInput, type CleanPosition, type CleanResult, type CleanStep } from '../workflows/contract.ts';
import { startHeartbeat } from './heartbeat.ts';
import type { ActivityDeps } from './deps.ts';

/** How long an Idempotency-Key is remembered. */
const IDEMPOTENCY_AGE_MS = 24 * 3_600_000;
/** Time of each step in one sweep, so that a step with much to do does not keep the others waiting. The next sweep goes on there. */
const STEP_MS = 60_000;

/**
 * Removes expired files, old uploads and the work of ended batches. Each step has a time limit, and starts at the position at which the last
 * sweep, or the attempt before this one, stopped. Removal is idempotent, so an old position costs only reads.
 */
export function createCleanBucket(
  deps: Pick<ActivityDeps, 'batches' | 'housekeeping' | 'nowMs' | 'monotonicMs' | 'uploadMarkerMaxAgeMs' | 'logger'>,
): (input: CleanBucketInput) => Promise<CleanResult> {
  const { batches, housekeeping, nowMs, monotonicMs, uploadMarkerMaxAgeMs, logger } = deps;

  /** The open batches by id, and the input files they read. */
  async function listOpen(step: () => Promise<void> | void): Promise<{ open: Set<string>; inputs: Set<string> }> {
    const open = new Set<string>();
    const inputs = new Set<string>();
    for await (const marker of batches.listOpen()) {
      await step();
      open.add(marker.id);
      inputs.add(`${marker.tenant}/${marker.inputFileId}`);
    }
    return { open, inputs };
  }

  return async function cleanBucket({ from }) {
    const result: CleanResult = { removed: 0, failed: [], next: lastPosition() ?? from };
    const { next } = result;
    using heartbeat = startHeartbeat(() => ({ next }));
    // Before the markers: what has none by then has ended, since a batch writes its marker before anything under `work/`.
    const beganMs = nowMs();
    const work = await housekeeping.listWork();
    const { open, inputs } = await listOpen(heartbeat.step);

    const steps: Record<CleanStep, (stretch: Stretch) => Promise<Cleaned>> = {
      work: async (stretch) =>
        await housekeeping.removeWork(
          work.filter((batchId) => !open.has(batchId)),
          stretch,
        ),
      files: async (stretch) => await housekeeping.removeExpiredFiles(beganMs, inputs, stretch),
      uploads: async (stretch) => await housekeeping.removeStaleUploads(beganMs, uploadMarkerMaxAgeMs, inputs, stretch),
      resumable: async (stretch) => await housekeeping.removeExpiredUploads(beganMs, stretch),
      probes: async (stretch) => await housekeeping.removeOldProbes(beganMs, stretch),
      idempotency: async (stretch) => await housekeeping.removeOldIdempotency(beganMs, IDEMPOTENCY_AGE_MS, stretch),
      contents: async (stretch) => await housekeeping.removeDeletedContent(beganMs, inputs, stretch),
    };
    for (const step of CLEAN_STEPS) {
      const endsMs = monotonicMs() + STEP_MS;
      try {
        const cleaned = await steps[step]({
          after: next[step] ?? '',
          isOver: () => monotonicMs() >= endsMs,
          check: heartbeat.check,
          reached: (key) => void (next[step] = key),
        });
        result.removed += cleaned.removed;
        if (cleaned.isDone) delete next[step];
      } catch (error) {
        heartbeat.check();
        result.failed.push(step);
        logger.warn({ err: error, step }, 'a step of the sweep failed; the next sweep tries again');
      }
    }
    return result;
  };
}

/** What an earlier attempt of this activity, which lost its worker, had reached. */
function lastPosition(): CleanPosition | null {
  const details: unknown = Context.current().info.heartbeatDetails;
  const { next } = isJsonRecord(details) ? details : {};
  if (!isJsonRecord(next)) return null;
  return Object.fromEntries(CLEAN_STEPS.flatMap((step) => (typeof next[step] === 'string' ? [[step, next[step]]] : [])));
}

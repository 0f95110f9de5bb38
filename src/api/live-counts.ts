import { type BatchFacts, describeFacts, failuresSoFar } from '../domain/batch-facts.ts';
import { type Batch, type BatchRecord, isTerminal } from '../domain/batch.ts';
import { withCounts } from '../domain/lifecycle.ts';
import { addTallies } from '../domain/shard-tally.ts';
import type { BatchStore } from '../storage/batch-store.ts';
import type { BatchRuns } from '../temporal/batch-runs.ts';
import type { Logger } from './context.ts';
import { settledWithin } from '../async/settled-within.ts';

/** Counts of batches that have not ended: closed shards as the workflow knows them, lines of open ones as workers tell them. */
export interface LiveCounts {
  /** The batch as it is to be shown: the record just read, or with fresher counts if these come within a moment. */
  show(record: BatchRecord): Promise<Batch>;
}

interface Refresh {
  startedMs: number;
  /** How long readers wait for it, from its start. */
  patienceMs: number;
  running: boolean;
  done: Promise<void>;
  /** What the last refresh that succeeded has found. */
  facts: BatchFacts | null;
}

/** Age from which counts are asked for again. */
const MAX_AGE_MS = 2000;
/** Longest that a reader waits for fresher counts, from the start of the refresh: who reads often will see them the next time. */
const PATIENCE_MS = 150;
/** Who reads once a minute would always see those of a minute ago. */
const SELDOM_MS = 10_000;
const PATIENCE_IF_SELDOM_MS = 1_500;
const ALL_SHARDS: [first: number, last: number][] = [[0, Infinity]];
/** Batches whose last refresh is remembered; forgetting one costs a query. */
const MAX_REMEMBERED = 10_000;

/**
 * Counts are written to the record, where higher, before anybody sees them: what is shown is always the record, so counts
 * never step back, in this process or between two. One refresh per batch runs at a time.
 */
export function createLiveCounts({
  batches,
  runs,
  nowMs,
  monotonicMs,
  logger,
}: {
  batches: BatchStore;
  runs: BatchRuns;
  nowMs: () => number;
  monotonicMs: () => number;
  logger: Logger;
}): LiveCounts {
  const refreshes = new Map<string, Refresh>();

  async function refresh({ tenant, batch: { id } }: BatchRecord, begun: () => Refresh): Promise<void> {
    try {
      const [progress, told] = await Promise.all([runs.progress(id), batches.tallies.readAll(id)]);
      // Without an answer of the workflow, what workers told still says why nothing moves.
      const { unclosed, waiting = [] } = progress ?? { unclosed: ALL_SHARDS, waiting: begun().facts?.queues.slice() };
      begun().facts = { queues: waiting, failures: failuresSoFar({ ...told, unclosed }), reports: told.reports };
      if (progress === null) return;
      const counts = addTallies(progress, told.tallies);
      await batches.update(tenant, id, (found) => withCounts(found, counts));
    } catch (error) {
      logger.debug({ batch: id, err: error }, 'counts could not be refreshed; the record is shown');
    }
  }

  /** The refresh that runs or is young enough, else one that starts now. */
  function latestRefresh(record: BatchRecord): Refresh {
    const { id } = record.batch;
    const found = refreshes.get(id);
    if (found !== undefined && (found.running || monotonicMs() - found.startedMs < MAX_AGE_MS)) return found;
    const startedMs = monotonicMs();
    const isSeldom = found !== undefined && startedMs - found.startedMs >= SELDOM_MS;
    const begun: Refresh = {
      startedMs,
      patienceMs: isSeldom ? PATIENCE_IF_SELDOM_MS : PATIENCE_MS,
      running: true,
      done: refresh(record, () => begun).finally(() => (begun.running = false)),
      facts: found?.facts ?? null,
    };
    refreshes.delete(id);
    refreshes.set(id, begun);
    // A Map keeps its order, so the first key is the one refreshed longest ago.
    for (const oldest of refreshes.keys()) {
      if (refreshes.size <= MAX_REMEMBERED) break;
      refreshes.delete(oldest);
    }
    return begun;
  }

  /** A batch that has not ended, with what else is known of it. */
  function withFacts(batch: Batch): Batch {
    if (isTerminal(batch.status)) return batch;
    const facts = refreshes.get(batch.id)?.facts ?? null;
    return { ...batch, nightshift: { ...batch.nightshift, ...describeFacts(batch, facts, nowMs()) } };
  }

  return {
    async show(record) {
      const { tenant, batch } = record;
      const { total, completed, failed } = batch.request_counts;
      if (isTerminal(batch.status)) refreshes.delete(batch.id);
      // Before its lines are counted and after the last of them there is nothing to ask for.
      if (isTerminal(batch.status) || completed + failed >= total) return withFacts(batch);

      const { running, startedMs, patienceMs, done } = latestRefresh(record);
      const leftMs = patienceMs - (monotonicMs() - startedMs);
      if (!running || leftMs <= 0) return withFacts(batch);
      await settledWithin(done, leftMs);
      return withFacts((await batches.get(tenant, batch.id))?.batch ?? batch);
    },
  };
}

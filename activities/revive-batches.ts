import { isTerminal, type BatchRecord } from '../src/domain/batch.ts';
import { dueMs } from '../src/domain/overdue.ts';
import type { OpenMarker } from '../src/storage/batch-store.ts';
import type { ReviveResult } from '../workflows/contract.ts';
import { atATime } from './at-a-time.ts';
import { startHeartbeat } from './heartbeat.ts';
import type { ActivityDeps, OpenStatus } from './deps.ts';
import type { EndBatch } from './end-batch.ts';

/** A marker without a record that is older was left by a creation that nobody finished. */
const ORPHAN_AGE_MS = 3_600_000;
/** Batches looked after at a time: enough for 10,000 records in seconds, few enough for a bucket that answers others as well. */
const AT_A_TIME = 32;
/** Less than the shortest interval that ships, so that a slow Temporal does not make sweeps rarer. */
const BUDGET_MS = 45_000;
/** A batch gives up waiting for shards that do not answer after five minutes, and closing and publishing show activities that run. */
const OVERDUE_MS = 15 * 60_000;
/** A batch that a fresh start does not help must not be torn down every minute. */
const RESTART_EVERY_MS = 3_600_000;
/** Batches that one sweep names in the log. An outage concerns all of them, and says the same of each. */
const WARNINGS = 10;

/**
 * Starts batches that do not run, starts anew those that run and should have ended, repeats cancels and pauses, and removes markers of
 * batches that have ended. It begins with the batches that do not run, each time at another one, and stops when its time is up: when
 * Temporal is slow, a few batches that it does not take cannot keep the others waiting.
 */
export function createReviveBatches(
  deps: Pick<
    ActivityDeps,
    'batches' | 'runs' | 'nowMs' | 'monotonicMs' | 'random' | 'sweepMinAgeMs' | 'cancelGraceMs' | 'onOpenBatches' | 'logger'
  > & { endBatch: EndBatch },
): () => Promise<ReviveResult> {
  const { batches, runs, nowMs, monotonicMs, random, sweepMinAgeMs, cancelGraceMs, onOpenBatches, logger, endBatch } = deps;

  async function listOpen(step: () => Promise<void> | void): Promise<OpenMarker[]> {
    const open: OpenMarker[] = [];
    for await (const marker of batches.listOpenMarkers()) {
      await step();
      open.push(marker);
    }
    return open;
  }

  /** Null when Temporal does not tell. */
  async function listRunning(): Promise<Set<string> | null> {
    try {
      return await runs.running();
    } catch (error) {
      logger.warn({ err: error }, 'the sweep could not list the running batches; the next sweep tries again');
      return null;
    }
  }

  /** Whether a run that is open, while its batch should have ended by `due`, is to be replaced: none of its activities shows life. */
  async function stuckRun(id: string, due: number): Promise<string | null> {
    const now = nowMs();
    if (now - due < OVERDUE_MS) return null;
    const run = await runs.describe(id);
    if (run === null) return null;
    const isLate = now - run.startedMs >= OVERDUE_MS && now - (run.activeMs ?? -Infinity) >= OVERDUE_MS;
    return isLate && now - (run.restartedMs ?? -Infinity) >= RESTART_EVERY_MS ? run.runId : null;
  }

  async function removeMarker({ tenant, id }: OpenMarker): Promise<void> {
    await batches.removeOpen(tenant, id);
    // A creation may have stood still until just now, and have seen its marker before we took it.
    const record = await batches.get(tenant, id);
    if (record !== null && !isTerminal(record.batch.status)) await batches.markOpen(tenant, id, record.batch.input_file_id);
  }

  async function reviveRecord(record: BatchRecord, running: ReadonlySet<string> | null, result: ReviveResult): Promise<void> {
    const { id, status } = record.batch;
    const stuck = await stuckRun(id, dueMs(record, cancelGraceMs));
    if (stuck !== null) {
      logger.warn({ batch: id, tenant: record.tenant, status }, 'a batch that should have ended shows no activity: starting it anew');
      await runs.restart(record, { runId: stuck, atMs: nowMs() });
      result.restarted += 1;
    } else if (running === null) {
      // `listRunning` has said why.
      result.failed += 1;
    } else if (!running.has(id)) {
      // Reads its record first: one that is cancelled meanwhile hears of it.
      await runs.start(record);
      result.started += 1;
    } else if (status === 'cancelling') {
      await runs.cancel(id);
      result.signalled += 1;
    } else if (record.pause?.isHeard === false) {
      await runs.tellChanged(id);
      result.signalled += 1;
    }
  }

  /** Revives one batch that has not ended, or has and left its marker. Answers its status; null when it is open no more. */
  async function reviveOne(marker: OpenMarker, running: ReadonlySet<string> | null, result: ReviveResult): Promise<OpenStatus | null> {
    const record = await batches.get(marker.tenant, marker.id);
    if (record === null) {
      if (nowMs() - marker.since.getTime() < ORPHAN_AGE_MS) return 'new';
      await removeMarker(marker);
      result.removed += 1;
      return null;
    }
    if (isTerminal(record.batch.status)) {
      // The worker that ended it may have died before it counted its usage or told its webhooks, and Temporal may have lost its workflow.
      await endBatch(record);
      result.removed += 1;
      return null;
    }
    await reviveRecord(record, running, result);
    return record.batch.status;
  }

  return async function reviveBatches() {
    const result: ReviveResult = { started: 0, restarted: 0, signalled: 0, removed: 0, failed: 0, left: 0 };
    using heartbeat = startHeartbeat(() => ({ ...result }));
    const endsMs = monotonicMs() + BUDGET_MS;
    const open = await listOpen(heartbeat.step);
    const isOld = ({ since }: OpenMarker) => nowMs() - since.getTime() >= sweepMinAgeMs;
    const old = open.filter(isOld);
    const running = old.length === 0 ? null : await listRunning();
    const statuses = new Map<string, OpenStatus>(open.map((marker) => [marker.id, isOld(marker) ? 'unread' : 'new']));

    await atATime(AT_A_TIME, forgottenFirst(old, running, random()), async (marker) => {
      await heartbeat.step();
      if (monotonicMs() >= endsMs) return void (result.left += 1);
      try {
        const status = await reviveOne(marker, running, result);
        if (status === null) statuses.delete(marker.id);
        else statuses.set(marker.id, status);
      } catch (error) {
        heartbeat.check();
        result.failed += 1;
        if (result.failed > WARNINGS) return;
        logger.warn({ err: error, batch: marker.id, tenant: marker.tenant }, 'the sweep could not look after a batch');
      }
    });
    if (result.failed + result.left > 0) logger.warn({ ...result }, 'the sweep did not look after all open batches');
    const byStatus = new Map<OpenStatus, number>();
    for (const status of statuses.values()) byStatus.set(status, (byStatus.get(status) ?? 0) + 1);
    const oldestMs = open.reduce((oldest, { since }) => Math.min(oldest, since.getTime()), nowMs());
    onOpenBatches({ byStatus, oldestAgeSeconds: (nowMs() - oldestMs) / 1000 });
    return result;
  };
}

/** The batches that do not run, then the others; both from a place on that `share` (from 0 to 1) chooses, and around. */
function forgottenFirst(open: readonly OpenMarker[], running: ReadonlySet<string> | null, share: number): OpenMarker[] {
  const forgotten = open.filter(({ id }) => running?.has(id) !== true);
  const others = open.filter(({ id }) => running?.has(id) === true);
  return [forgotten, others].flatMap((some) => {
    const first = Math.floor(share * some.length);
    return [...some.slice(first), ...some.slice(0, first)];
  });
}

import type { WorkflowExecutionDescription } from '@temporalio/client';
import { tsToMs } from '@temporalio/common/lib/time.js';

/** An open run of a batch, whatever its workflow is. Times are Unix milliseconds. */
export interface BatchRun {
  runId: string;
  startedMs: number;
  /** When an activity of the batch itself, not of its shards, last gave a sign; null when none is running or has been heard of. */
  activeMs: number | null;
  /** When a sweep started it in place of one that was stuck; null for other runs. */
  restartedMs: number | null;
}

type PendingActivity = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number];

/** Temporal's number for an activity that a worker has. */
const STARTED = 2;
const RESTARTED_MEMO = 'restartedAtMs';

/** What a run that a sweep starts in place of another one remembers, also when it continues as new. */
export function restartedMemo(atMs: number): Record<string, unknown> {
  return { [RESTARTED_MEMO]: atMs };
}

/** What Temporal tells of a run; null when it is closed, or an operator has paused it. */
export function openRun({ runId, status, startTime, memo, raw }: WorkflowExecutionDescription): BatchRun | null {
  if (status.name !== 'RUNNING') return null;
  const restartedMs = memo?.[RESTARTED_MEMO];
  const signs = (raw.pendingActivities ?? []).map(lastSignMs).filter((sign) => sign !== null);
  return {
    runId,
    startedMs: startTime.getTime(),
    activeMs: signs.length === 0 ? null : Math.max(...signs),
    restartedMs: typeof restartedMs === 'number' ? restartedMs : null,
  };
}

/** The last heartbeat of an activity, or its start if it runs and has not beaten yet. */
function lastSignMs({ state, lastHeartbeatTime, lastStartedTime }: PendingActivity): number | null {
  const sign = lastHeartbeatTime ?? (state === STARTED ? lastStartedTime : null);
  return sign == null ? null : tsToMs(sign);
}

import {
  type Connection,
  isGrpcServiceError,
  ScheduleAlreadyRunning,
  ScheduleClient,
  type ScheduleDescription,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import { msToTs, tsToMs } from '@temporalio/common/lib/time.js';
import { CLEAN_SCHEDULE_ID, REVIVE_SCHEDULE_ID, SEARCH_ATTRIBUTES, WORKFLOW_TASK_QUEUE } from '../../workflows/contract.ts';

/** What Nightshift needs of a namespace. */
export interface Provision {
  connection: Connection;
  namespace: string;
  sweepIntervalMs: number;
  /** How long closed workflows stay visible, at least; a longer retention is left as it is. */
  retentionDays: number;
}

const DEADLINE_MS = 10_000;
const DAY_MS = 86_400_000;
/** The sweeps. A run that is over its limit has lost its worker, or found none, and must not hold up the runs after it. */
const SCHEDULES = [
  // Where there was no schedule, Temporal's database may have been lost: open batches wait for the first sweep.
  { scheduleId: REVIVE_SCHEDULE_ID, workflowType: 'revive', limitMs: 2 * 60_000, beginsAtOnce: true },
  { scheduleId: CLEAN_SCHEDULE_ID, workflowType: 'clean', limitMs: 60 * 60_000, beginsAtOnce: false },
] as const;
type Sweep = (typeof SCHEDULES)[number];
/** One schedule did the work of both until they were separated. */
const OLD_SCHEDULE_ID = 'nightshift-sweep';
const CATCH_UP_MS = 60_000;
/** Temporal's number for the type Keyword. */
const KEYWORD = 2;
/** gRPC's PERMISSION_DENIED, UNIMPLEMENTED and UNAUTHENTICATED. */
const REFUSALS = [7, 12, 16];

/**
 * Makes sure of retention, search attributes and the schedules of the sweeps, and changes only what is not so yet; safe to repeat
 * and to run in many processes at once. Answers one warning when this server leaves namespace or search attributes to its
 * operator (as Temporal Cloud does), else null. Throws when Temporal does not answer.
 */
export async function provision({ connection, namespace, sweepIntervalMs, retentionDays }: Provision): Promise<string | null> {
  return await connection.withDeadline(Date.now() + DEADLINE_MS, async () => {
    const refused: string[] = [];
    if (!(await isAllowed(() => ensureRetention(connection, namespace, retentionDays * DAY_MS)))) {
      refused.push(`a retention of ${retentionDays} days`);
    }
    if (!(await isAllowed(() => ensureSearchAttributes(connection, namespace)))) {
      refused.push(`search attributes ${SEARCH_ATTRIBUTES.join(', ')} of type Keyword`);
    }
    const schedules = new ScheduleClient({ connection, namespace });
    await Promise.all(SCHEDULES.map(async (sweep) => await ensureSchedule(schedules, sweep, sweepIntervalMs)));
    await removeOldSchedule(schedules);
    if (refused.length === 0) return null;
    return `Temporal does not let Nightshift set up namespace ${namespace}; make sure that it has ${refused.join(' and ')}.`;
  });
}

async function ensureRetention(connection: Connection, namespace: string, retentionMs: number): Promise<void> {
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  const found = config?.workflowExecutionRetentionTtl;
  if (found && tsToMs(found) >= retentionMs) return;
  await connection.workflowService.updateNamespace({
    namespace,
    config: { workflowExecutionRetentionTtl: msToTs(retentionMs) },
  });
}

async function ensureSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = SEARCH_ATTRIBUTES.filter((name) => !(name in customAttributes));
  if (missing.length === 0) return;
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (error) {
    // Another process was faster.
    if (!(isGrpcServiceError(error) && error.details.includes('already exist'))) throw error;
  }
}

async function ensureSchedule(schedules: ScheduleClient, sweep: Sweep, everyMs: number): Promise<void> {
  const { scheduleId, workflowType, limitMs } = sweep;
  const wanted = {
    spec: { intervals: [{ every: everyMs }] },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCH_UP_MS },
    action: {
      type: 'startWorkflow' as const,
      workflowType,
      workflowId: scheduleId,
      taskQueue: WORKFLOW_TASK_QUEUE,
      workflowExecutionTimeout: limitMs,
    },
  };
  try {
    await schedules.create({ scheduleId, ...wanted, state: { triggerImmediately: sweep.beginsAtOnce } });
    return;
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
  const schedule = schedules.getHandle(scheduleId);
  if (isAsWanted(await schedule.describe(), sweep, everyMs)) return;
  // A schedule that an operator has paused stays paused.
  await schedule.update(({ state }) => ({ ...wanted, state }));
}

function isAsWanted({ spec, policies, action }: ScheduleDescription, { workflowType, limitMs }: Sweep, everyMs: number): boolean {
  const [interval, ...others] = spec.intervals ?? [];
  return (
    others.length === 0 &&
    interval?.every === everyMs &&
    policies.overlap === ScheduleOverlapPolicy.SKIP &&
    policies.catchupWindow === CATCH_UP_MS &&
    action.workflowType === workflowType &&
    action.taskQueue === WORKFLOW_TASK_QUEUE &&
    action.workflowExecutionTimeout === limitMs
  );
}

async function removeOldSchedule(schedules: ScheduleClient): Promise<void> {
  try {
    await schedules.getHandle(OLD_SCHEDULE_ID).delete();
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
  }
}

async function isAllowed(step: () => Promise<void>): Promise<boolean> {
  try {
    await step();
    return true;
  } catch (error) {
    if (isGrpcServiceError(error) && REFUSALS.includes(error.code)) return false;
    throw error;
  }
}

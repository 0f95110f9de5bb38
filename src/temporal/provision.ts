import {
  type Connection,
  isGrpcServiceError,
  ScheduleAlreadyRunning,
  ScheduleClient,
  type ScheduleDescription,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import { msToTs, tsToMs } from '@temporalio/common/lib/time.js';
import { SEARCH_ATTRIBUTES, SWEEP_SCHEDULE_ID, WORKFLOW_TASK_QUEUE } from '../../workflows/contract.ts';

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
const SWEEP_LIMIT_MS = 10 * 60_000;
const CATCH_UP_MS = 60_000;
/** Temporal's number for the type Keyword. */
const KEYWORD = 2;
/** gRPC's PERMISSION_DENIED, UNIMPLEMENTED and UNAUTHENTICATED. */
const REFUSALS = [7, 12, 16];

/**
 * Makes sure of retention, search attributes and the sweep's schedule, and changes only what is not so yet; safe to repeat
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
    await ensureSweepSchedule(new ScheduleClient({ connection, namespace }), sweepIntervalMs);
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

async function ensureSweepSchedule(schedules: ScheduleClient, everyMs: number): Promise<void> {
  const wanted = {
    spec: { intervals: [{ every: everyMs }] },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCH_UP_MS },
    action: {
      type: 'startWorkflow' as const,
      workflowType: 'sweep',
      workflowId: SWEEP_SCHEDULE_ID,
      taskQueue: WORKFLOW_TASK_QUEUE,
      workflowExecutionTimeout: SWEEP_LIMIT_MS,
    },
  };
  try {
    await schedules.create({ scheduleId: SWEEP_SCHEDULE_ID, ...wanted });
    return;
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
  const schedule = schedules.getHandle(SWEEP_SCHEDULE_ID);
  if (isAsWanted(await schedule.describe(), everyMs)) return;
  // A schedule that an operator has paused stays paused.
  await schedule.update(({ state }) => ({ ...wanted, state }));
}

function isAsWanted({ spec, policies, action }: ScheduleDescription, everyMs: number): boolean {
  const [interval, ...others] = spec.intervals ?? [];
  return (
    others.length === 0 &&
    interval?.every === everyMs &&
    policies.overlap === ScheduleOverlapPolicy.SKIP &&
    policies.catchupWindow === CATCH_UP_MS &&
    action.workflowType === 'sweep' &&
    action.taskQueue === WORKFLOW_TASK_QUEUE &&
    action.workflowExecutionTimeout === SWEEP_LIMIT_MS
  );
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

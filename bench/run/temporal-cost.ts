import { Client, Connection } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { heartbeatThrottleMs, heartbeatTiming } from '../../activities/heartbeat-timing.ts';
import { until } from '../../test/helpers/until.ts';

/** What batches cost in Temporal, counted in the histories of their workflows and all shards. */
export interface TemporalCost {
  /** Workflow runs: batches, those that continued as new, and shards. */
  runs: number;
  events: number;
  activities: number;
  /** As Temporal Cloud bills them; see `actionsOf`. */
  actions: number;
  /** Part of the actions, and an estimate: histories do not hold them. */
  heartbeats: number;
  /** Events of the longest run. */
  longestRun: number;
}

type HistoryEvent = temporal.api.history.v1.IHistoryEvent;

/** Reads the histories of these batches, once their workflows have ended. */
export async function temporalCost(address: string, batchIds: readonly string[]): Promise<TemporalCost> {
  const connection = await Connection.connect({ address });
  try {
    const { workflow } = new Client({ connection });
    const cost: TemporalCost = { runs: 0, events: 0, activities: 0, actions: 0, heartbeats: 0, longestRun: 0 };
    for (const id of batchIds) {
      const query = `WorkflowId STARTS_WITH '${id}'`;
      const ended = async () => (await workflow.count(`${query} AND ExecutionStatus = 'Running'`)).count === 0;
      await until(ended, { what: `the workflows of ${id} to end`, seconds: 60 });
      for await (const { workflowId, runId } of workflow.list({ query })) {
        const { events = [] } = await workflow.getHandle(workflowId, runId).fetchHistory();
        if (events === null) throw new Error(`${workflowId} has no history`);
        cost.runs += 1;
        cost.events += events.length;
        cost.longestRun = Math.max(cost.longestRun, events.length);
        for (const event of events) cost.actions += actionsOf(event);
        const beats = heartbeatsOf(events);
        cost.heartbeats += beats;
        cost.actions += beats;
        cost.activities += events.filter((event) => event.activityTaskScheduledEventAttributes).length;
      }
    }
    return cost;
  } finally {
    await connection.close();
  }
}

/**
 * The actions that an event stands for (docs.temporal.io/cloud/actions): a workflow started by a client or continued as new,
 * two for a child, each attempt of an activity, timers, signals, and calls that change search attributes. Queries are
 * actions too, but those of whoever reads the status, and no history holds them.
 */
function actionsOf(event: HistoryEvent): number {
  if (event.workflowExecutionStartedEventAttributes) {
    return event.workflowExecutionStartedEventAttributes.parentWorkflowExecution ? 0 : 1;
  }
  if (event.startChildWorkflowExecutionInitiatedEventAttributes) return 2;
  if (event.activityTaskStartedEventAttributes) return event.activityTaskStartedEventAttributes.attempt ?? 1;
  if (event.timerStartedEventAttributes) return 1;
  if (event.workflowExecutionSignaledEventAttributes) return 1;
  if (event.upsertWorkflowSearchAttributesEventAttributes) return 1;
  return 0;
}

/** Activities beat first after so long, and then as often as the worker lets them through. */
const FIRST_BEAT_MS = heartbeatTiming().firstMs;
const THROTTLE_MS = heartbeatThrottleMs(30_000);

/** Heartbeats that must have reached the server, by how long the last attempt of each activity ran. */
function heartbeatsOf(events: readonly HistoryEvent[]): number {
  const startedMs = new Map<string, number>();
  let beats = 0;
  for (const event of events) {
    if (event.activityTaskStartedEventAttributes) startedMs.set(String(event.eventId), timeMs(event));
    const end =
      event.activityTaskCompletedEventAttributes ?? event.activityTaskFailedEventAttributes ?? event.activityTaskCanceledEventAttributes;
    const ranMs = timeMs(event) - (startedMs.get(String(end?.startedEventId)) ?? Infinity);
    if (ranMs >= FIRST_BEAT_MS) beats += 1 + Math.floor((ranMs - FIRST_BEAT_MS) / THROTTLE_MS);
  }
  return beats;
}

function timeMs({ eventTime }: HistoryEvent): number {
  return Number(eventTime?.seconds ?? 0) * 1000 + (eventTime?.nanos ?? 0) / 1e6;
}

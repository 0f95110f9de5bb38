import { Connection, isGrpcServiceError } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { connectionOptions, type TemporalAddress } from './connection.ts';

interface Server {
  connection: Connection;
  namespace: string;
}

/** No two checks at a time: each is a workflow of this id. It runs for a second or two and is deleted then. */
const PROBE_ID = 'nightshift-limits-probe';
/** Temporal's defaults are 1 query and 100 events. */
const QUERIES = 8;
const EVENTS = 120;
const DEADLINE_MS = 20_000;
/** A query that is buffered waits for the workflow; one that is refused is refused at once. */
const QUERY_MS = 1_500;
const NO_TURNS = "Temporal's dynamic configuration has no matching.enableFairness: tenants take no turns. Set it to true.";
const UNKNOWN_TURNS =
  'Whether matching.enableFairness is on cannot be seen, because task queues have several partitions. Make sure that it is true: otherwise tenants take no turns.';
/** Temporal's number for queues that are not of one worker. */
const NORMAL_QUEUE = 1;
/** gRPC's. */
const [ALREADY_EXISTS, NOT_FOUND, RESOURCE_EXHAUSTED] = [6, 5, 8];

/**
 * Finds out whether the dynamic configuration of a server has what Nightshift needs, which no call of Temporal tells: a workflow of its own is
 * given more queries and signals than the defaults take. `nonce` is different for each check. Returns one sentence for each value that is too
 * low. Returns null while another process checks. Throws when Temporal does not answer or does not allow it.
 */
export async function checkServerLimits(
  address: TemporalAddress,
  given: { nonce: string; taskQueues: readonly string[] },
): Promise<string[] | null> {
  // Without the usual retries, which would take a refusal for a reason to wait.
  const connection = await Connection.connect({ ...connectionOptions(address), interceptors: [] });
  try {
    return await connection.withDeadline(
      Date.now() + DEADLINE_MS,
      async () => await check({ connection, namespace: address.namespace }, given),
    );
  } finally {
    await connection.close();
  }
}

async function check(server: Server, { nonce, taskQueues }: { nonce: string; taskQueues: readonly string[] }): Promise<string[] | null> {
  const probe = await startProbe(server, nonce);
  if (probe === null) return null;
  try {
    const found: string[] = [];
    // The workflow task is held, so that queries and signals have to be buffered.
    const held = await probe.holdTask();
    if (!(await probe.takesQueries())) found.push(tooLow('history.MaxBufferedQueryCount', 100, 'reads of a busy batch show old counts'));
    if (!(await probe.takesSignals(held)))
      found.push(tooLow('history.maximumBufferedEventsBatch', 1000, 'a burst of answers makes workflows repeat their tasks'));
    return [...found, ...(await turnFaults(server, nonce, taskQueues))];
  } finally {
    await probe.remove().catch(() => undefined);
  }
}

/** Whether the second workflow of one fairness key comes after the first of another, which was started later. */
async function takesTurns({ connection, namespace }: Server, nonce: string, queue: string): Promise<boolean> {
  const { workflowService } = connection;
  const taskQueue = { name: queue };
  const ids = ['a-1', 'a-2', 'b-1'].map((name) => `${PROBE_ID}-${name}`);
  const order: (string | null | undefined)[] = [];
  try {
    for (const workflowId of ids) {
      await workflowService.startWorkflowExecution({
        namespace,
        workflowId,
        workflowType: { name: 'limitsProbe' },
        taskQueue,
        requestId: nonce,
        identity: PROBE_ID,
        workflowExecutionTimeout: msToTs(3 * DEADLINE_MS),
        priority: { fairnessKey: workflowId.includes('a-') ? 'a' : 'b' },
      });
    }
    for (const _ of ids) {
      const { workflowExecution } = await workflowService.pollWorkflowTaskQueue({ namespace, taskQueue, identity: PROBE_ID });
      order.push(workflowExecution?.workflowId);
    }
    return order[1] === ids[2];
  } finally {
    for (const workflowId of ids) await removeWorkflow({ connection, namespace }, workflowId).catch(() => undefined);
  }
}

async function removeWorkflow({ connection, namespace }: Server, workflowId: string): Promise<void> {
  const workflowExecution = { workflowId };
  const { workflowService } = connection;
  await workflowService.terminateWorkflowExecution({ namespace, workflowExecution, identity: PROBE_ID, reason: 'the check is done' });
  await workflowService.deleteWorkflowExecution({ namespace, workflowExecution });
}

/** What keeps tenants from taking their turns at these task queues. */
async function turnFaults(server: Server, nonce: string, taskQueues: readonly string[]): Promise<string[]> {
  const counts = await Promise.all(taskQueues.map(async (name) => ({ name, partitions: await countPartitions(server, name) })));
  const divided = counts.filter(({ partitions }) => partitions > 1);
  const found = divided.map(
    ({ name, partitions }) =>
      `Temporal's task queue "${name}" has ${partitions} partitions. Tenants take turns in each partition by itself, and each has a part of a rate limit. Set matching.numTaskqueueReadPartitions and matching.numTaskqueueWritePartitions to 1.`,
  );
  const queue = `${PROBE_ID}-turns-${nonce}`;
  // In several partitions the order tells nothing.
  if ((await countPartitions(server, queue)) > 1) return [...found, UNKNOWN_TURNS];
  return (await takesTurns(server, nonce, queue)) ? found : [...found, NO_TURNS];
}

/** How many partitions a task queue of activities has. */
async function countPartitions({ connection, namespace }: Server, name: string): Promise<number> {
  const { workflowService } = connection;
  const found = await workflowService.listTaskQueuePartitions({ namespace, taskQueue: { name, kind: NORMAL_QUEUE } });
  return found.activityTaskQueuePartitions.length;
}

function tooLow(name: string, wanted: number, consequence: string): string {
  return `Temporal's dynamic configuration has too low a value of ${name}: ${consequence}. Set it to ${wanted}.`;
}

async function startProbe({ connection, namespace }: Server, nonce: string) {
  const { workflowService } = connection;
  const taskQueue = { name: `${PROBE_ID}-${nonce}` };
  const identity = PROBE_ID;
  try {
    await workflowService.startWorkflowExecution({
      namespace,
      workflowId: PROBE_ID,
      workflowType: { name: 'limitsProbe' },
      taskQueue,
      requestId: nonce,
      identity,
      workflowExecutionTimeout: msToTs(3 * DEADLINE_MS),
    });
  } catch (error) {
    if (isGrpcServiceError(error) && error.code === ALREADY_EXISTS) return null;
    throw error;
  }
  const workflowExecution = { workflowId: PROBE_ID };
  const poll = async () => (await workflowService.pollWorkflowTaskQueue({ namespace, taskQueue, identity })).taskToken;
  const complete = async (taskToken: Uint8Array) =>
    void (await workflowService.respondWorkflowTaskCompleted({ namespace, taskToken, identity, commands: [] }));
  const signal = async (number: number) =>
    void (await workflowService.signalWorkflowExecution({
      namespace,
      workflowExecution,
      signalName: 'probe',
      requestId: `${nonce}-${number}`,
      identity,
    }));

  /** Whether the query waits, as it should, and is not refused. */
  async function query(): Promise<boolean> {
    const request = { namespace, execution: workflowExecution, query: { queryType: 'probe' } };
    return await connection
      .withDeadline(Date.now() + QUERY_MS, async () => await workflowService.queryWorkflow(request))
      .then(
        () => true,
        (error: unknown) => !(isGrpcServiceError(error) && error.code === RESOURCE_EXHAUSTED),
      );
  }

  return {
    /** The second task: until the first one is done, queries are not buffered. */
    async holdTask(): Promise<Uint8Array> {
      await complete(await poll());
      await signal(0);
      return await poll();
    },
    takesQueries: async () => (await Promise.all(Array.from({ length: QUERIES }, query))).every(Boolean),
    async takesSignals(held: Uint8Array): Promise<boolean> {
      await Promise.all(Array.from({ length: EVENTS }, async (_, number) => await signal(number + 1)));
      try {
        await complete(held);
        return true;
      } catch (error) {
        // With too many events the server fails the task.
        if (isGrpcServiceError(error) && error.code === NOT_FOUND) return false;
        throw error;
      }
    },
    remove: async () => await removeWorkflow({ connection, namespace }, PROBE_ID),
  };
}

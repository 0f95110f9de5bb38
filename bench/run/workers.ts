import { Connection } from '@temporalio/client';
import type { Stack, StackProcess } from '../../test/helpers/stack.ts';
import { until } from '../../test/helpers/until.ts';
import { WORKFLOW_TASK_QUEUE } from '../../workflows/contract.ts';

const MAX_IN_FLIGHT = 'NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT';

/** What each worker process may have in flight, so that together they have the whole: the setting counts per process. */
export function sharesInFlight(inFlight: number, workers: number): Record<typeof MAX_IN_FLIGHT, string>[] {
  return Array.from({ length: workers }, (_, worker) => ({
    [MAX_IN_FLIGHT]: String(Math.floor((inFlight * (worker + 1)) / workers) - Math.floor((inFlight * worker) / workers)),
  }));
}

/** Starts the workers beside the stack's own, with these variables, and waits until all of them take work. */
export async function startWorkers(stack: Stack, more: readonly Record<string, string>[]): Promise<StackProcess[]> {
  const workers = [stack.worker];
  for (const env of more) workers.push(await stack.startWorker(undefined, env));
  const connection = await Connection.connect({ address: stack.temporal.address });
  try {
    const allPoll = async () => {
      const { pollers } = await connection.workflowService.describeTaskQueue({
        namespace: 'default',
        taskQueue: { name: WORKFLOW_TASK_QUEUE },
        taskQueueType: 1,
      });
      return new Set(pollers.map(({ identity }) => identity)).size >= workers.length;
    };
    await until(allPoll, { what: `${workers.length} workers to take work`, seconds: 120 });
  } finally {
    await connection.close();
  }
  return workers;
}

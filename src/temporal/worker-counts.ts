import type { Connection } from '@temporalio/client';
import { tsToMs } from '@temporalio/common/lib/time.js';
import { requestsTaskQueue } from '../../workflows/contract.ts';

/** How many worker processes take the requests of an upstream. */
export interface WorkerCounts {
  /** As it was when last asked; 1 before that. */
  of(upstream: string): number;
  /** Asks Temporal who polls. Throws when it does not answer. */
  refresh(): Promise<void>;
}

const DEADLINE_MS = 5_000;
/** A poll takes a minute at most, and who has begun none for longer is gone. Temporal remembers pollers for five minutes. */
const GONE_AFTER_MS = 90_000;
/** Temporal's number for queues of activities. */
const ACTIVITY_QUEUE = 2;

/** Counts the workers of these upstreams by who polls their task queues. */
export function createWorkerCounts(given: {
  connection: Connection;
  namespace: string;
  upstreams: readonly string[];
  nowMs: () => number;
}): WorkerCounts {
  const { connection, namespace, upstreams, nowMs } = given;
  const counts = new Map<string, number>();

  async function count(upstream: string): Promise<number> {
    const taskQueue = { name: requestsTaskQueue(upstream) };
    const { pollers } = await connection.workflowService.describeTaskQueue({ namespace, taskQueue, taskQueueType: ACTIVITY_QUEUE });
    const lately = (pollers ?? []).filter(({ lastAccessTime }) => lastAccessTime && nowMs() - tsToMs(lastAccessTime) < GONE_AFTER_MS);
    return new Set(lately.map(({ identity }) => identity)).size;
  }

  return {
    of: (upstream) => counts.get(upstream) ?? 1,
    async refresh() {
      await connection.withDeadline(Date.now() + DEADLINE_MS, async () => {
        for (const upstream of upstreams) counts.set(upstream, Math.max(1, await count(upstream)));
      });
    },
  };
}

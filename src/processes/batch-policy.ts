import type { Config } from '../config/config.ts';
import type { BatchPolicy } from '../../workflows/contract.ts';

/** The policy that new batches get. The API and the sweep start batches alike, so both take it from here. */
export function batchPolicy({ batches }: Config): BatchPolicy {
  const { maxInFlight, activitiesPerSecond, linesPerActivity, cancelGraceMs, heartbeatTimeoutMs } = batches;
  return {
    maxInFlight,
    maxOpenShards: 64,
    shardsPerRun: 500,
    activitiesPerSecond,
    linesPerActivity,
    // A shard has 1,000 lines, and a line costs six events at most where nothing goes wrong.
    longHistoryEvents: 8_000,
    // Some 6 MB of short answers.
    appendEveryShards: 16,
    cancelGraceMs,
    heartbeatTimeoutMs,
    shardStopTimeoutMs: 5 * 60_000,
  };
}

import type { Config } from '../config.ts';
import type { BatchPolicy } from '../../workflows/contract.ts';

/** The policy that new batches get. The API and the sweep start batches alike, so both take it from here. */
export function batchPolicy({ batches }: Config): BatchPolicy {
  const { maxInFlight, activitiesPerSecond, linesPerActivity, cancelGraceMs } = batches;
  return { maxInFlight, maxOpenShards: 64, shardsPerRun: 500, activitiesPerSecond, linesPerActivity, cancelGraceMs };
}

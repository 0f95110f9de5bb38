import { sweepActivity } from './activities.ts';
import type { SweepResult } from './contract.ts';

/** One round of housekeeping, started by the schedule. */
export async function sweep(): Promise<SweepResult> {
  return await sweepActivity();
}

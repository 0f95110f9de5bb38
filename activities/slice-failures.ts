import { ApplicationFailure } from '@temporalio/activity';
import { ApplicationFailureCategory } from '@temporalio/common';
import type { Fault, Postponed } from './slice-run.ts';

/** Temporal takes a delay of nothing for the end of all retries. */
const AT_ONCE_MS = 1;

/** Class, status and upstream, and no word of the upstream's. Benign, because it is the request's affair and not ours. */
export function toFailure({ code, status }: Fault, upstream: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'UpstreamFault',
    message: `${code}${status === null ? '' : ` (status ${status})`} from upstream ${upstream}`,
    category: ApplicationFailureCategory.BENIGN,
  });
}

/** Not a fault: comes again when the upstream wants it, and when the budget has room. */
export function toPostponed({ status, refusals, waitMs }: Postponed, upstream: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: status === null ? 'UpstreamUnavailable' : 'UpstreamRefusal',
    message:
      status === null ? `upstream ${upstream} was unavailable` : `refused ${refusals} times (status ${status}) by upstream ${upstream}`,
    category: ApplicationFailureCategory.BENIGN,
    nextRetryDelay: Math.max(AT_ONCE_MS, waitMs),
  });
}

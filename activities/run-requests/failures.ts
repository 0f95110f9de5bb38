import { ApplicationFailure } from '@temporalio/activity';
import { ApplicationFailureCategory } from '@temporalio/common';
import type { LineEnd } from './send-line.ts';

/** Temporal takes a delay of nothing for the end of all retries. */
const AT_ONCE_MS = 1;

/** Class, status and upstream, without the server's words. Benign, because it is the request's affair and not ours. */
export function toFailure({ code, status, waitMs }: LineEnd & { kind: 'retry' }, upstream: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'UpstreamFault',
    message: `${code}${status === null ? '' : ` (status ${status})`} from upstream ${upstream}`,
    category: ApplicationFailureCategory.BENIGN,
    nextRetryDelay: Math.max(AT_ONCE_MS, waitMs),
  });
}

/** Nothing failed: the next attempt comes when the upstream wants it, and when the budget has room. */
export function toPostponed({ status, tries, waitMs }: LineEnd & { kind: 'postponed' }, upstream: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: status === null ? 'UpstreamUnavailable' : 'UpstreamRefusal',
    message:
      status === null
        ? `upstream ${upstream} was unavailable`
        : `refused ${tries.refusals} times (status ${status}) by upstream ${upstream}`,
    category: ApplicationFailureCategory.BENIGN,
    nextRetryDelay: Math.max(AT_ONCE_MS, waitMs),
  });
}

/** Why requests of a batch wait. */
export const WAITING_REASONS = [
  'upstream_away',
  'upstream_refuses',
  'upstream_fails',
  'upstream_denies',
  'quiet_hours',
  'budget',
  'places',
  'paused',
  'bucket',
  'no_worker',
  'backoff',
] as const;
export type WaitingReason = (typeof WAITING_REASONS)[number];

/** One reason for which lines of a batch wait. */
export interface Waiting {
  reason: WaitingReason;
  /** The sentence for people. */
  message: string;
  /** Null where the reason concerns no upstream. */
  upstream: string | null;
  /** The status and the server's own words; null where no server said anything. */
  server_says: string | null;
  /** Unix seconds; null if unknown. */
  since: number | null;
  /** How many lines wait; null if unknown. */
  lines: number | null;
}

/** A reason without its words. Every text here is made in this file. */
export interface WaitFact {
  reason: WaitingReason;
  upstream: string | null;
  serverSays: string | null;
  sinceMs: number | null;
  /** The model, where the reason concerns only that one. */
  model?: string | null;
  /** When it ends: a time in words for quiet hours. */
  until?: string | null;
  /** What is paused. `batch`: a client paused this batch. */
  pausedBy?: 'batch' | 'upstream' | 'everything';
  /** The batch's position in the queue of its tenant. */
  position?: { position: number; of: number } | null;
}

/** The sentence for people, without a full stop. API, command line and Temporal's UI show the same. */
export function describeWait(fact: WaitFact): string {
  const { reason, serverSays, sinceMs } = fact;
  const what = fact.model ? `model "${fact.model.slice(0, 80)}" at ${upstreamOf(fact)}` : upstreamOf(fact);
  const since = sinceMs === null ? '' : ` since ${inUtc(sinceMs)}`;
  const says = serverSays === null || serverSays === '' ? '' : `: ${serverSays}`;
  switch (reason) {
    case 'upstream_away':
      return `Waits for ${what}, which cannot be reached${since}${says}`;
    case 'upstream_refuses':
      return `Waits for ${what}, which refuses requests${since}${says}`;
    case 'upstream_fails':
      return `Waits for ${what}, which fails every request${since}${says}`;
    case 'upstream_denies':
      return `Waits for ${what}, which denies access${since}${says}`;
    case 'quiet_hours':
      return `Waits until ${fact.until ?? 'later'}, because ${what} has quiet hours`;
    case 'budget':
      return `Waits for the rate limit of ${what}`;
    case 'places':
      return `Waits for ${what}, which is busy with other requests${positionOf(fact)}`;
    case 'paused':
      return pausedInWords(fact, since);
    case 'bucket':
      return 'Waits for the bucket, which stores results too slowly';
    case 'no_worker':
      return `Waits for a worker: none has taken requests of this batch${since}. Check that a worker runs`;
    case 'backoff':
      return `Waits before the next try at ${what}${says}`;
  }
}

/** The fact with its words and the number of lines that wait for it. */
export function toWaiting(fact: WaitFact, lines: number | null): Waiting {
  const { reason, upstream, serverSays, sinceMs } = fact;
  const since = sinceMs === null ? null : Math.floor(sinceMs / 1000);
  return { reason, message: `${describeWait(fact)}.`.replace(/\.\.$/, '.'), upstream, server_says: serverSays, since, lines };
}

/** Facts with the same key are one reason. */
export function waitKey({ reason, upstream, model }: WaitFact): string {
  return JSON.stringify([reason, upstream, model ?? null]);
}

/** Equal reasons as one, since the earliest time that is known. */
export function sumWaits<Fact extends WaitFact & { lines: number }>(waits: readonly Fact[]): Fact[] {
  const sums = new Map<string, Fact>();
  for (const wait of waits) {
    const before = sums.get(waitKey(wait));
    const sinceMs = Math.min(before?.sinceMs ?? Infinity, wait.sinceMs ?? Infinity);
    sums.set(waitKey(wait), { ...wait, sinceMs: sinceMs === Infinity ? null : sinceMs, lines: (before?.lines ?? 0) + wait.lines });
  }
  return [...sums.values()];
}

function pausedInWords({ pausedBy, upstream }: WaitFact, since: string): string {
  if (pausedBy === 'everything') return `Waits until an operator resumes all upstreams, which are paused${since}`;
  if (pausedBy === 'upstream') return `Waits until an operator resumes upstream ${upstream ?? ''}, which is paused${since}`;
  return `The batch is paused${since}. Resume it to go on`;
}

function upstreamOf({ upstream }: WaitFact): string {
  return upstream === null ? 'its upstream' : `upstream ${upstream}`;
}

function positionOf({ position }: WaitFact): string {
  if (position == null) return '';
  return `: position ${position.position.toLocaleString('en')} of ${position.of.toLocaleString('en')} in your queue`;
}

function inUtc(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

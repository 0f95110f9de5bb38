/**
 * How many lines go into one activity, and how many are handed out at a time. Workflows call this, so a change that alters the
 * numbers is a change of commands.
 */

/** What a batch has learned about its upstream, handed from shard to shard and from run to run. */
export interface Pace {
  /** Lines that may be handed out and not finished, over the whole batch. */
  lead: number;
  /** When the lead last changed (workflow time): how long slices waited that were scheduled before says nothing about it. */
  leadSinceMs?: number;
  /** Mean time upstream of a request, send to last byte; null before the first answer. */
  meanUpstreamMs: number | null;
  /** Lines of a slice before the first answer; 1 where nothing is said. */
  firstLines?: number;
  /** Batches that share the activity budget. */
  batchesRunning: number;
  /** Requests that the upstream may come to have in flight from one worker, those it may have now, and how many workers there are, as told last. */
  places?: number;
  limit?: number;
  workers?: number;
}

/** The pace of a batch that knows nothing yet. */
export const INITIAL_PACE: Readonly<Pace> = { lead: 8, meanUpstreamMs: null, batchesRunning: 1 };

/** What the batches of a worker may have out together when they begin. */
const FIRST_LEADS = 32;
/** Slices that a batch begins with: how long answers take is not known yet, so neither one for each line nor few large ones. */
const FIRST_SLICES = 32;

/**
 * The pace of a batch that begins as one of so many: modest, so that thousands of open batches do not flood the engine, unless
 * their upstream is known to have `capacity` for more requests at once, over all of them.
 */
export function firstPace({
  batchesRunning,
  maxInFlight,
  capacity = 0,
}: {
  batchesRunning: number;
  maxInFlight: number;
  capacity?: number | undefined;
}): Pace {
  const share = Math.min(maxInFlight, Math.floor(Math.max(FIRST_LEADS, capacity) / Math.max(1, batchesRunning)));
  const lead = Math.max(INITIAL_PACE.lead, share);
  const firstLines = Math.ceil(lead / FIRST_SLICES);
  return { ...INITIAL_PACE, lead, ...(firstLines > 1 ? { firstLines } : {}) };
}

/** Slices that start this soon show that there is capacity for more. */
const PROMPT_MS = 2000;
/** Slices that wait longer show that too much is handed out. */
const LATE_MS = 5000;
/** Answers that come sooner take less time than the handing out of a slice. */
const FAST_MS = 250;
/** At this many requests per second they need the machine as much as the activities do, and the activity budget is halved; at twice as many it is a fifth. */
const BUSY_PER_SECOND = 500;
/** In places in flight: with more, whole shards would go out one after the other and stand in front of every other batch. */
const MOST_LEAD = 6;
/** A batch hands out of so many shards at most. Where all batches together have fewer than workers, slices are smaller, so that each worker has one. */
const MOST_SHARDS_HANDING_OUT = 4;

/**
 * Lines for the next slice: as many as keep the batch within its share of the activity budget, one where that is enough. The
 * budget shrinks as requests come faster, because then they and not the activities should have the machine
 * (docs/decisions/008-slices-of-fast-upstreams.md).
 */
export function sliceLines(given: {
  pace: Pace;
  policy: { activitiesPerSecond: number; linesPerActivity: number | null; maxInFlight: number };
  /** Lines of the shard, the most a slice can have. */
  shardLines: number;
}): number {
  const { pace, policy, shardLines } = given;
  if (policy.linesPerActivity !== null) return clamp(policy.linesPerActivity, 1, shardLines);
  const shardsOut = MOST_SHARDS_HANDING_OUT * Math.max(1, pace.batchesRunning);
  const most = Math.ceil(shardLines / Math.ceil((pace.workers ?? 1) / shardsOut));
  if (pace.meanUpstreamMs === null) return clamp(pace.firstLines ?? 1, 1, most);
  const expectedPerSecond = placesInFlight(pace, policy.maxInFlight) / (Math.max(pace.meanUpstreamMs, 0.001) / 1000);
  const perWorker = expectedPerSecond / (pace.workers ?? 1);
  const budget = policy.activitiesPerSecond / (1 + (perWorker / BUSY_PER_SECOND) ** 2);
  return clamp(Math.ceil(expectedPerSecond / budget), 1, most);
}

/** Of all batches over all workers. Not the lead: it shrinks where slices wait, and smaller slices would wait longer. */
function placesInFlight({ batchesRunning, places, workers = 1 }: Pace, maxInFlight: number): number {
  return Math.min((places ?? maxInFlight) * workers, maxInFlight * Math.max(1, batchesRunning));
}

/** Lines that one shard may have out: its part of the lead, and what is left of a slice of this size while it ends. */
export function shardShare(given: { lead: number; shardsHandingOut: number; sliceLines: number }): number {
  return Math.max(1, Math.ceil(given.lead / given.shardsHandingOut)) + given.sliceLines - 1;
}

/** The lead after a slice that waited this long between being scheduled and started, up to `most`. */
export function nextLead({ lead, waitedMs, most }: { lead: number; waitedMs: number; most: number }): number {
  const next = waitedMs <= PROMPT_MS ? lead * 2 : waitedMs > LATE_MS ? Math.floor(lead / 2) : lead;
  return clamp(next, 1, most);
}

/**
 * The most that a lead can be: twice what may be in flight, and more the more lines slices have. Such a slice is out until
 * its slowest line is back: with log-normal answers (sigma 1) 2.3 times the mean for four lines, 4 for sixteen, 6 for fifty.
 * And where answers are fast most of the life of a slice passes before and after its requests.
 */
function mostLead(given: { maxInFlight: number; meanUpstreamMs: number | null; lines: number }): number {
  const { maxInFlight, meanUpstreamMs, lines } = given;
  const least = meanUpstreamMs !== null && meanUpstreamMs < FAST_MS ? 4 : 2;
  const most = Math.max(least, Math.min(MOST_LEAD, 2 + Math.log2(lines)));
  return Math.ceil(most * maxInFlight);
}

/** What a finished slice reports of its run. */
export interface SliceReport {
  answered: number;
  meanUpstreamMs: number;
  waitedMs: number;
  batchesRunning: number;
  /** Requests that the upstream may come to have in flight from this worker, those it may have now, and how many workers there are. */
  places: number;
  limit: number;
  workers: number;
}

/** The pace after one more slice. `lines` are those of a slice today, `scheduledAtMs` and `nowMs` the workflow's time. */
export function learn(
  pace: Pace,
  ran: SliceReport,
  given: { maxInFlight: number; lines: number; scheduledAtMs: number; nowMs: number },
): Pace {
  const meanUpstreamMs = ran.answered > 0 ? ran.meanUpstreamMs : pace.meanUpstreamMs;
  const most = mostLead({ ...given, meanUpstreamMs });
  const next = {
    lead: nextLead({ lead: pace.lead, waitedMs: ran.waitedMs, most }),
    meanUpstreamMs,
    batchesRunning: Math.max(1, ran.batchesRunning),
  };
  // A queue that is too long is heard of by every slice in it: one change is the answer to all of them.
  const { leadSinceMs = -Infinity } = pace;
  const lead = given.scheduledAtMs >= leadSinceMs ? next.lead : Math.min(pace.lead, most);
  const { places, limit, workers } = ran;
  return { ...pace, ...next, lead, ...(lead === pace.lead ? {} : { leadSinceMs: given.nowMs }), places, limit, workers };
}

/** How many shards hand out lines at a time: enough for the lead to be found in them, two to four. */
export function shardsHandingOut(maxInFlight: number): number {
  return clamp(Math.ceil((4 * maxInFlight) / 500) + 1, 2, MOST_SHARDS_HANDING_OUT);
}

function clamp(value: number, min: number, max: number): number {
  return Math.max(min, Math.min(max, value));
}

import type { FailedLine } from '../src/domain/failures.ts';
import type { LineRange } from '../src/domain/line-ranges.ts';
import type { WaitFact } from '../src/domain/waiting.ts';
import { isTerminal } from '../src/domain/batch.ts';
import { withCounts } from '../src/domain/lifecycle.ts';
import { addOutcome, addTallies, emptyTally, type ShardTally, type Tallies } from '../src/domain/shard-tally.ts';
import type { WorkerReport } from '../src/domain/batch-facts.ts';
import type { BatchRef, Progress } from '../workflows/contract.ts';
import { BatchReport, type SliceFacts } from './batch-report.ts';
import type { ActivityDeps } from './deps.ts';

/** How often counts are written. */
export interface CountTimes {
  /** Results wait this long for company. */
  settleMs: number;
  /** Between two times that this process tells the lines of a batch: so much per batch with news, from `leastMs` to `mostMs`. */
  perBatchMs: number;
  leastMs: number;
  mostMs: number;
  /** Between two times that it raises the counts in the record, for lists, which read nothing else. */
  saveMs: number;
  /** Between two looks at what the lines of a batch wait for. */
  lookMs: number;
  /** A report is repeated after this, even if nothing has changed: readers forget those that are older than 30 s. */
  reportMs: number;
}

/** `mostMs` and `saveMs` together keep lists younger than 30 s. A process writes four times a second at most, unless it runs over 40 batches. */
const TIMES: Readonly<CountTimes> = {
  settleMs: 1_000,
  perBatchMs: 250,
  leastMs: 3_000,
  mostMs: 10_000,
  saveMs: 15_000,
  lookMs: 2_000,
  reportMs: 10_000,
};
/** A process that ends tells what it has as soon as it can. */
const DRAIN_SETTLE_MS = 50;
/** Batches whose counts are written at the same time. */
const AT_A_TIME = 2;

/** Tells which lines have an outcome while their shard is open, and keeps the counts in records young. */
export interface RecordCounts {
  /** A slice of this shard runs here, until disposed. */
  enter(batch: BatchRef, shard: number): CountedShard;
}

export interface CountedShard extends Disposable {
  /** The outcome of a line lies in a piece, and nothing can change it any more. */
  add(line: number, outcome: 'completed' | 'failed', failed?: FailedLine): void;
  /** Looks at these facts now and then, until disposed. */
  watch(facts: () => SliceFacts): void;
  /** The line waits outside of this process for so many milliseconds. */
  backOff(line: number, waitMs: number, fact: WaitFact): void;
  /** A line has ended here and now: what was found in pieces of others has not. */
  ended(): void;
  /** Lines that waited are at work again. */
  resume(range: LineRange): void;
}

interface CountedBatch extends BatchRef {
  /** What this process knows of shards that may be open. */
  readonly shards: Map<number, ShardTally>;
  /** Shards with lines that have not been told. */
  readonly news: Set<number>;
  /** Shards that are closed and still in the tallies. */
  readonly closed: Set<number>;
  readonly report: BatchReport;
  slices: number;
  /** Whether the record may be behind. */
  isUnsaved: boolean;
  toldMs: number;
  savedMs: number;
  timer: NodeJS.Timeout | null;
  /** When the timer goes off; Infinity without one. */
  dueMs: number;
}

/** Costs bucket and Temporal nothing for a batch in which nothing happens. */
export function createRecordCounts(
  deps: Pick<ActivityDeps, 'batches' | 'runs' | 'monotonicMs' | 'nowMs' | 'randomHex' | 'draining' | 'logger'>,
  times: CountTimes = TIMES,
): RecordCounts {
  const { monotonicMs, nowMs, draining } = deps;
  const worker = deps.randomHex(16);
  const counted = new Map<string, CountedBatch>();
  const due: CountedBatch[] = [];
  let lanes = 0;

  function batchOf({ tenant, batchId }: BatchRef): CountedBatch {
    const found = counted.get(batchId);
    if (found !== undefined) return found;
    const sets = { shards: new Map(), news: new Set<number>(), closed: new Set<number>(), report: new BatchReport() };
    const state = { slices: 0, isUnsaved: false, toldMs: -Infinity, savedMs: -Infinity, timer: null, dueMs: Infinity };
    const begun: CountedBatch = { tenant, batchId, ...sets, ...state };
    counted.set(batchId, begun);
    return begun;
  }

  /** Between two times that the lines of a batch are told. */
  function betweenMs(): number {
    return Math.min(times.mostMs, Math.max(times.leastMs, counted.size * times.perBatchMs));
  }

  /** Makes sure that the batch is looked at in time for what it has to tell or to save. */
  function schedule(batch: CountedBatch): void {
    const atMs = monotonicMs();
    const tellMs = batch.news.size === 0 ? Infinity : draining.aborted ? atMs : batch.toldMs + betweenMs();
    const saveMs = batch.isUnsaved && !draining.aborted ? batch.savedMs + times.saveMs : Infinity;
    const lookMs = batch.report.isWatching && !draining.aborted ? atMs + times.lookMs : Infinity;
    const nextMs = Math.max(atMs + (draining.aborted ? DRAIN_SETTLE_MS : times.settleMs), Math.min(tellMs, saveMs, lookMs));
    if (nextMs >= batch.dueMs || nextMs === Infinity) return;
    if (batch.timer !== null) clearTimeout(batch.timer);
    batch.dueMs = nextMs;
    batch.timer = setTimeout(() => {
      batch.timer = null;
      batch.dueMs = Infinity;
      due.push(batch);
      void writeDue();
    }, nextMs - atMs);
    batch.timer.unref();
  }

  async function writeDue(): Promise<void> {
    if (lanes >= AT_A_TIME) return;
    lanes += 1;
    for (let next = due.shift(); next !== undefined; next = due.shift()) {
      const isSaveDue = monotonicMs() - next.savedMs >= times.saveMs && !draining.aborted && next.isUnsaved;
      const report = next.report.look(worker, nowMs());
      const isReportDue = next.report.isDue(report, times.reportMs);
      const isTellDue = next.news.size > 0 && (draining.aborted || monotonicMs() - next.toldMs >= betweenMs());
      const isOpen = await write(deps, next, { isSaveDue, report: isReportDue || isTellDue ? report : null });
      if (isOpen) schedule(next);
      else if (counted.get(next.batchId) === next) counted.delete(next.batchId);
      for (const [batchId, batch] of counted) if (isIdle(batch)) counted.delete(batchId);
    }
    lanes -= 1;
  }

  /** Whether nothing is lost by forgetting a batch. */
  function isIdle({ slices, news, report, isUnsaved, savedMs }: CountedBatch): boolean {
    return slices === 0 && !report.isWatching && news.size === 0 && !isUnsaved && monotonicMs() - savedMs >= times.saveMs;
  }

  draining.addEventListener('abort', () => counted.forEach(schedule));

  return {
    enter(ref, shard) {
      const batch = batchOf(ref);
      let unwatch = (): void => undefined;
      batch.slices += 1;
      // Results of a worker that was lost may not be in the record yet.
      batch.isUnsaved = true;
      schedule(batch);
      return {
        watch(facts) {
          unwatch = batch.report.watch(facts);
          schedule(batch);
        },
        backOff(line, waitMs, fact) {
          batch.report.backOff(line, nowMs() + waitMs, fact);
          schedule(batch);
        },
        resume: (range) => batch.report.resume(range),
        ended: () => batch.report.lineEnded(nowMs()),
        add(line, outcome, failed) {
          const tally = batch.shards.get(shard) ?? emptyTally();
          batch.shards.set(shard, tally);
          if (!addOutcome(tally, line, outcome, failed)) return;
          batch.news.add(shard);
          batch.isUnsaved = true;
          schedule(batch);
        },
        [Symbol.dispose]() {
          unwatch();
          batch.slices -= 1;
          batch.isUnsaved = true;
          schedule(batch);
        },
      };
    },
  };
}

/** Tells what there is to tell, and saves if that is due. Returns false when the batch has ended. */
async function write(
  { batches, runs, monotonicMs, logger }: Pick<ActivityDeps, 'batches' | 'runs' | 'monotonicMs' | 'logger'>,
  batch: CountedBatch,
  { isSaveDue, report }: { isSaveDue: boolean; report: WorkerReport | null },
): Promise<boolean> {
  if (!isSaveDue && report === null) return true;
  const { tenant, batchId, shards, news, closed } = batch;
  // Taken before the first wait: what comes meanwhile is news again.
  const told = new Map([...news].flatMap((shard) => withTally(shard, shards)));
  const gone = [...closed];
  news.clear();
  batch.toldMs = monotonicMs();
  if (isSaveDue) [batch.isUnsaved, batch.savedMs] = [false, batch.toldMs];
  try {
    const record = await batches.get(tenant, batchId);
    if (record === null || isTerminal(record.batch.status)) return false;
    const hasNews = told.size > 0 || report !== null;
    const tallies = hasNews
      ? await batches.tallies.add(batchId, told, gone, report ?? undefined)
      : isSaveDue
        ? await batches.tallies.read(batchId)
        : null;
    if (report !== null) batch.report.told(report);
    if (hasNews) for (const shard of gone) closed.delete(shard);
    if (tallies === null || !isSaveDue) return true;
    const progress = await runs.progress(batchId);
    if (progress === null) return true;
    const counts = addTallies(progress, tallies);
    await batches.update(tenant, batchId, (found) => withCounts(found, counts));
    forgetClosed(batch, tallies, progress);
  } catch (err) {
    for (const shard of told.keys()) news.add(shard);
    batch.isUnsaved = true;
    logger.debug({ batch: batchId, err }, 'counts could not be written; a later write brings them');
  }
  return true;
}

function withTally(shard: number, shards: ReadonlyMap<number, ShardTally>): [number, ShardTally][] {
  const tally = shards.get(shard);
  return tally === undefined ? [] : [[shard, tally]];
}

/** `tallies` are older than `progress`: a shard that has one and is not open any more is closed. */
function forgetClosed({ shards, news, closed }: CountedBatch, tallies: Tallies, { unclosed }: Progress): void {
  for (const shard of tallies.keys()) {
    if (unclosed.some(([first, last]) => shard >= first && shard <= last)) continue;
    closed.add(shard);
    shards.delete(shard);
    news.delete(shard);
  }
}

import type { WorkerReport } from '../src/domain/batch-facts.ts';
import { type LineRange, linesIn } from '../src/domain/line-ranges.ts';
import { sumWaits, type WaitFact, waitKey } from '../src/domain/waiting.ts';

/** What the lines of a running slice do. */
export interface SliceFacts {
  inFlight: number;
  waiting: (WaitFact & { lines: number })[];
}

type ReportedWait = WorkerReport['waiting'][number];

/** The rate is over so many seconds, and over no less than the second number. */
const [RATE_SECONDS, LEAST_RATE_SECONDS] = [30, 5];

/** What this worker tells clients of a batch: what its lines wait for, what is in flight, and how fast lines end. */
export class BatchReport {
  readonly #slices = new Set<() => SliceFacts>();
  readonly #backoffs = new Map<number, { fact: WaitFact; untilMs: number }>();
  /** Since when a reason holds, by its key. */
  #since = new Map<string, number>();
  readonly #ended: { second: number; lines: number }[] = [];
  #beganSecond: number | null = null;
  #told: { atMs: number; reasons: string } | null = null;

  /** Looks at the slice at every report, until the function that it returns is called. */
  watch(slice: () => SliceFacts): () => void {
    this.#slices.add(slice);
    return () => void this.#slices.delete(slice);
  }

  backOff(line: number, untilMs: number, fact: WaitFact): void {
    this.#backoffs.set(line, { fact, untilMs });
  }

  /** These lines are at work again. */
  resume(range: LineRange): void {
    for (const line of linesIn([range])) this.#backoffs.delete(line);
  }

  lineEnded(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    this.#beganSecond ??= second;
    const last = this.#ended.at(-1);
    if (last?.second === second) last.lines += 1;
    else this.#ended.push({ second, lines: 1 });
    while ((this.#ended[0]?.second ?? second) < second - RATE_SECONDS) this.#ended.shift();
  }

  /** Whether there is something to look at. */
  get isWatching(): boolean {
    return this.#slices.size > 0 || this.#backoffs.size > 0;
  }

  look(worker: string, nowMs: number): WorkerReport {
    this.#beganSecond ??= Math.floor(nowMs / 1000);
    const all = [...this.#slices].map((slice) => slice());
    const waiting: ReportedWait[] = [...sumWaits(all.flatMap((facts) => facts.waiting)), ...this.#backingOff(nowMs)];
    const since = new Map(waiting.map((fact) => [waitKey(fact), this.#since.get(waitKey(fact)) ?? nowMs]));
    this.#since = since;
    return {
      worker,
      atMs: nowMs,
      inFlight: all.reduce((sum, { inFlight }) => sum + inFlight, 0),
      linesPerSecond: this.#rate(nowMs),
      waiting: waiting.map((fact) => ({ ...fact, sinceMs: fact.sinceMs ?? since.get(waitKey(fact)) ?? nowMs })),
    };
  }

  /** Whether a report says something new, or the last one is so old that it does not count for long any more. */
  isDue({ atMs, waiting }: WorkerReport, reportMs: number): boolean {
    if (!this.isWatching) return false;
    return this.#told === null || atMs - this.#told.atMs >= reportMs || this.#told.reasons !== reasonsOf(waiting);
  }

  told({ atMs, waiting }: WorkerReport): void {
    this.#told = { atMs, reasons: reasonsOf(waiting) };
  }

  #backingOff(nowMs: number): ReportedWait[] {
    for (const [line, { untilMs }] of this.#backoffs) if (untilMs <= nowMs) this.#backoffs.delete(line);
    const latestMs = Math.max(0, ...[...this.#backoffs.values()].map(({ untilMs }) => untilMs));
    return sumWaits([...this.#backoffs.values()].map(({ fact }) => ({ ...fact, lines: 1 }))).map((fact) => ({
      ...fact,
      untilMs: latestMs,
    }));
  }

  #rate(nowMs: number): number {
    const second = Math.floor(nowMs / 1000);
    const lines = this.#ended.reduce((sum, each) => sum + (each.second >= second - RATE_SECONDS ? each.lines : 0), 0);
    return lines / Math.max(LEAST_RATE_SECONDS, Math.min(RATE_SECONDS, second - (this.#beganSecond ?? second)));
  }
}

function reasonsOf(waiting: readonly WaitFact[]): string {
  return waiting.map(waitKey).sort().join();
}

import type { Call } from './calls.ts';
import type { Harm, Span } from './faults.ts';
import type { Planted } from './make-input.ts';

/** What went upstream, and whether it had to. */
export interface CallSum {
  calls: number;
  /** Most calls that lines, their scripts and all harms explain. */
  bound: number;
  /** Answers that were faults, and calls that no answer reached: each is one more call. */
  faults: number;
  broken: number;
  /** Calls answered although another one of the same line was, for which a harm is to blame. */
  answeredAgain: number;
  complaints: string[];
}

/** What explains the calls. Times are of `performance.now()`. */
export interface Causes {
  harms: readonly Harm[];
  /** Deaths of the upstream: it forgets how often it was called, and begins every script again. */
  upstreamDeathsMs: readonly number[];
  /** What the script of a line plants; null when there is no such line. */
  plantedOf: (key: string) => Planted | null;
  /** When the batch of a line was cancelled, or its window ended; Infinity for never. */
  endingMsOf: (key: string) => number;
}

/** Between what happens to a process and what we see of its connections. */
const SETTLING_MS = 1_000;
/** The setting of the workers: one that hears nothing for so long gives up a call. */
export const CALL_TIMEOUT_SECONDS = 20;
/** Calls of a line that a complaint shows. */
const MOST_TOLD = 20;

/**
 * Each line is answered or ended with its batch once. Beyond that there is a fault or reset for each that its script plants, a
 * broken call for each that was under way while something was harmed, and another answer for each that a harm lost.
 */
export function checkCalls(callsOf: ReadonlyMap<string, readonly Call[]>, causes: Causes): CallSum {
  const sum: CallSum = { calls: 0, bound: 0, faults: 0, broken: 0, answeredAgain: 0, complaints: [] };
  const harmsOf = Map.groupBy(causes.harms, ({ worker }) => worker);
  const isLost = (call: Call) => harmsOf.get(call.worker)?.some(({ lost }) => lost !== null && isIn(endOf(call), lost)) ?? false;
  const isHarmed = (call: Call) => harmsOf.get(call.worker)?.some((harm) => overlaps(call, harm, SETTLING_MS)) ?? false;

  for (const [key, calls] of callsOf) {
    const count = (end: Call['end']) => calls.filter((call) => call.end === end).length;
    const [answered, faults] = [count('answered'), count('fault')];
    const [broken, endingMs] = [calls.filter(isBroken), causes.endingMsOf(key)];
    const planted = plantedIn(calls, key, causes);
    const complain = (what: string) => void sum.complaints.push(`${key} ${what}: ${calls.slice(0, MOST_TOLD).map(describe).join('; ')}`);
    sum.calls += calls.length;
    sum.faults += faults;
    sum.broken += broken.length;
    sum.answeredAgain += Math.max(0, answered - 1);
    sum.bound += 1 + planted.faults + planted.resets;

    if (causes.plantedOf(key) === null) complain('is no line, and was sent');
    if (faults > planted.faults) complain(`was answered with a fault ${faults} times, and has ${planted.faults} planted`);
    const unharmed = broken.filter((call) => !isHarmed(call));
    const needless = unharmed.filter((call) => endOf(call) < endingMs).length;
    if (needless > planted.resets) complain(`broke off ${needless} times without need, and has ${planted.resets} resets planted`);
    const kept = calls.filter((call) => call.end === 'answered' && !isLost(call)).length;
    // After a call that ended with its batch there is none, nor was there an answer before.
    const ended = Math.max(0, unharmed.length - Math.max(needless, planted.resets));
    if (kept + ended > 1) complain(`was answered ${answered} times without need, or sent after its batch had ended`);
  }

  const all = [...callsOf.values()].flat();
  // In flight, answered and not yet stored, and what one that was cut off sends until a beat is refused.
  const cost = (harm: Harm) =>
    all.filter(
      (call) =>
        call.worker === harm.worker &&
        (overlaps(call, harm, 0) || (call.end === 'answered' && harm.lost !== null && isIn(endOf(call), harm.lost))),
    ).length;
  sum.bound += causes.harms.reduce((total, harm) => total + cost(harm), 0);
  if (sum.calls > sum.bound) sum.complaints.push(`${sum.calls} calls went upstream, and no more than ${sum.bound} had to`);
  return sum;
}

/** All that the script of a line may have done to these calls. */
function plantedIn(calls: readonly Call[], key: string, { plantedOf, upstreamDeathsMs }: Causes): Planted {
  const planted = plantedOf(key) ?? { faults: 0, resets: 0 };
  const span = { fromMs: Math.min(...calls.map(({ sentAtMs }) => sentAtMs)), toMs: Math.max(...calls.map(endOf)) };
  const runs = 1 + upstreamDeathsMs.filter((atMs) => isIn(atMs, span)).length;
  return { faults: runs * planted.faults, resets: runs * planted.resets };
}

function isBroken({ end }: Call): boolean {
  return end === 'broken' || end === 'open';
}

function endOf({ sentAtMs, endedAtMs }: Call): number {
  return endedAtMs ?? sentAtMs + CALL_TIMEOUT_SECONDS * 1000;
}

function isIn(atMs: number, { fromMs, toMs }: Span): boolean {
  return atMs >= fromMs && atMs <= toMs;
}

function overlaps(call: Call, { fromMs, toMs }: Span, slackMs: number): boolean {
  return call.sentAtMs <= toMs + slackMs && endOf(call) >= fromMs - slackMs;
}

function describe(call: Call): string {
  return `${call.worker} ${call.end} ${Math.round(call.sentAtMs)}–${Math.round(call.endedAtMs ?? Infinity)}`;
}

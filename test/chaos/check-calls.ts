import type { Call } from './calls.ts';
import type { Harm, Span } from './faults.ts';
import type { Planted } from './make-input.ts';

/** What went upstream, and whether it had to. */
export interface CallSum {
  calls: number;
  /** Most calls that lines, their scripts and all harms explain: of each harm one for each line that was in flight or not yet stored. */
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
 * Every call needs a cause of its own: of each line the one that is answered, or ends with its batch; a fault or a reset that its
 * script plants; and of each harm one, which was in flight then and broke off, or whose answer was lost.
 */
export function checkCalls(callsOf: ReadonlyMap<string, readonly Call[]>, causes: Causes): CallSum {
  const sum: CallSum = { calls: 0, bound: 0, faults: 0, broken: 0, answeredAgain: 0, complaints: [] };
  const harmsOf = Map.groupBy(causes.harms, ({ worker }) => worker);

  for (const [key, calls] of callsOf) {
    const count = (end: Call['end']) => calls.filter((call) => call.end === end).length;
    sum.calls += calls.length;
    sum.faults += count('fault');
    sum.broken += count('broken') + count('open');
    sum.answeredAgain += Math.max(0, count('answered') - 1);

    const planted = plantedIn(calls, key, causes);
    const endingMs = causes.endingMsOf(key);
    const harms = [...new Set(calls.map(({ worker }) => worker))].flatMap((worker) => harmsOf.get(worker) ?? []);
    sum.bound += 1 + planted.faults + planted.resets + harms.filter((harm) => calls.some((call) => costs(harm, call, 0))).length;

    const complain = (what: string) => void sum.complaints.push(`${key} ${what}: ${calls.slice(0, MOST_TOLD).map(describe).join('; ')}`);
    if (causes.plantedOf(key) === null) complain('is no line, and was sent');
    const needless = withoutCause(calls, [
      (call) => call.end === 'answered' || (isBroken(call) && endOf(call) >= endingMs),
      ...Array.from(
        { length: planted.faults },
        (): Cause =>
          ({ end }) =>
            end === 'fault',
      ),
      ...Array.from({ length: planted.resets }, (): Cause => isBroken),
      ...harms.map(
        (harm): Cause =>
          (call) =>
            costs(harm, call, SETTLING_MS),
      ),
    ]);
    if (needless.length > 0) complain(`was sent without need ${needless.length} times (${needless[0]?.end}) of ${calls.length}`);
  }
  if (sum.calls > sum.bound) sum.complaints.push(`${sum.calls} calls went upstream, and no more than ${sum.bound} had to`);
  return sum;
}

/**
 * Tries of a line that failed through its own doing: what the upstream answered, and what its script broke off. A call that
 * a harm broke off is none, so no number of harms may end a line.
 */
export function ownFaults(calls: readonly Call[], key: string, causes: Pick<Causes, 'plantedOf' | 'upstreamDeathsMs'>): number {
  const broken = calls.filter(isBroken).length;
  return calls.filter(({ end }) => end === 'fault').length + Math.min(broken, plantedIn(calls, key, causes).resets);
}

/** Whether something explains a call; it explains no more than one of each line. */
type Cause = (call: Call) => boolean;

/** The calls that are left when as many as possible have a cause that no other has. */
function withoutCause(calls: readonly Call[], causes: readonly Cause[]): Call[] {
  /** By place: two causes may be the same function. */
  const explained = new Map<number, Call>();
  /** Gives the call a cause, if need be one whose call finds another. */
  function explain(call: Call, tried: Set<number>): boolean {
    for (const [at, cause] of causes.entries()) {
      if (tried.has(at) || !cause(call)) continue;
      tried.add(at);
      const other = explained.get(at);
      if (other === undefined || explain(other, tried)) return (explained.set(at, call), true);
    }
    return false;
  }
  return calls.filter((call) => !explain(call, new Set()));
}

/** In flight, answered and not yet stored, or sent by one that was cut off until a beat is refused. */
function costs(harm: Harm, call: Call, slackMs: number): boolean {
  if (harm.worker !== call.worker) return false;
  if (isBroken(call)) return call.sentAtMs <= harm.toMs + slackMs && endOf(call) >= harm.fromMs - slackMs;
  return call.end === 'answered' && harm.lost !== null && isIn(endOf(call), harm.lost);
}

/** All that the script of a line may have done to these calls. */
function plantedIn(
  calls: readonly Call[],
  key: string,
  { plantedOf, upstreamDeathsMs }: Pick<Causes, 'plantedOf' | 'upstreamDeathsMs'>,
): Planted {
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

function describe(call: Call): string {
  return `${call.worker} ${call.end} ${Math.round(call.sentAtMs)}–${Math.round(call.endedAtMs ?? Infinity)}`;
}

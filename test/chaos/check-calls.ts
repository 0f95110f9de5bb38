import type { Call } from './calls.ts';
import type { Harm } from './faults.ts';

/** What went upstream, and whether it had to. */
export interface CallSum {
  calls: number;
  /** Answers that were faults, and calls that no answer reached: each is one more call. */
  faults: number;
  broken: number;
  /** Calls answered although another one of the same line was, for which a harm is to blame. */
  answeredAgain: number;
  complaints: string[];
}

/** A line may be answered more often than once only if all answers but one came while something could lose them. */
export function checkCalls(callsOf: ReadonlyMap<string, readonly Call[]>, harms: readonly Harm[]): CallSum {
  const sum: CallSum = { calls: 0, faults: 0, broken: 0, answeredAgain: 0, complaints: [] };
  const isExcused = ({ worker, endedAtMs }: Call): boolean =>
    harms.some((harm) => harm.worker === worker && (endedAtMs ?? 0) >= harm.fromMs && (endedAtMs ?? 0) <= harm.toMs);
  for (const [key, calls] of callsOf) {
    sum.calls += calls.length;
    sum.faults += calls.filter(({ end }) => end === 'fault').length;
    sum.broken += calls.filter(({ end }) => end === 'broken' || end === 'open').length;
    const answered = calls.filter(({ end }) => end === 'answered');
    sum.answeredAgain += Math.max(0, answered.length - 1);
    const unexcused = answered.filter((call) => !isExcused(call));
    if (unexcused.length > 1) {
      const told = calls.map((call) => `${call.worker} ${call.end} ${Math.round(call.sentAtMs)}–${Math.round(call.endedAtMs ?? 0)}`);
      sum.complaints.push(`${key} was answered ${answered.length} times without need: ${told.join('; ')}`);
    }
  }
  return sum;
}

import { setTimeout as delay } from 'node:timers/promises';
import { HISTORY_MS, type Minute, type Rates, type ServerState, type UpstreamState, type WorkerState } from '../domain/worker-state.ts';
import type { WorkerStateStore } from '../storage/worker-state-store.ts';
import type { Upstream } from '../upstream/upstream.ts';

const TELL_EVERY_MS = 5_000;
const CLEAN_EVERY_MS = 10 * 60_000;
const MINUTE_MS = 60_000;
const MINUTES = HISTORY_MS / MINUTE_MS;
/** Rates are over so many samples, so that answers that take long do not show as none. */
const RATE_SAMPLES = 6;
/** A hosted server may refuse many models. */
const MOST_GATES = 20;

type Watched = Pick<Upstream, 'name' | 'waiting' | 'quietUntil' | 'serverStates'>;
interface Sample {
  atMs: number;
  ended: Rates;
}

/** Makes what a worker tells of its upstreams out of what they show now and showed at the calls before. */
export function createStateRecorder(upstreams: readonly Watched[], nowMs: () => number): (hasEnded: boolean) => WorkerState {
  const samples = new Map<string, Sample[]>();
  const minutes = new Map<string, { minute: Minute; looks: number; inFlightSum: number }[]>();

  /** Since the last call, and per second over the last half minute. */
  function measure(key: string, ended: Rates): { since: Rates; rates: Rates } {
    const earlier = samples.get(key) ?? [];
    const [first, last] = [earlier[0], earlier.at(-1)];
    const now = { atMs: nowMs(), ended };
    samples.set(key, [...earlier, now].slice(-RATE_SAMPLES));
    const seconds = first === undefined ? 0 : (now.atMs - first.atMs) / 1000;
    const over = (before: Rates | undefined, divisor: number): Rates => {
      const rate = (of: keyof Rates) =>
        before === undefined || divisor <= 0 ? 0 : Math.round((100 * (ended[of] - before[of])) / divisor) / 100;
      return { answers: rate('answers'), refusals: rate('refusals'), faults: rate('faults') };
    };
    return { since: over(last?.ended, 1), rates: over(first?.ended, seconds) };
  }

  function keepMinute(name: string, look: Omit<Minute, 'at'>): Minute[] {
    const at = Math.floor(nowMs() / MINUTE_MS) * 60;
    const kept = (minutes.get(name) ?? []).slice(-MINUTES);
    const current = kept.at(-1);
    if (current?.minute.at === at) {
      const { minute } = current;
      const [looks, inFlightSum] = [current.looks + 1, current.inFlightSum + look.inFlight];
      const inFlight = Math.round((10 * inFlightSum) / looks) / 10;
      const { answers, refusals, faults } = minute;
      const ended = { answers: answers + look.answers, refusals: refusals + look.refusals, faults: faults + look.faults };
      kept[kept.length - 1] = { minute: { at, limit: look.limit, inFlight, ...ended }, looks, inFlightSum };
    } else kept.push({ minute: { at, ...look }, looks: 1, inFlightSum: look.inFlight });
    minutes.set(name, kept);
    return kept.map(({ minute }) => minute);
  }

  function stateOf(upstream: Watched): UpstreamState {
    const { name, waiting, quietUntil } = upstream;
    const look = { limit: 0, inFlight: 0, answers: 0, refusals: 0, faults: 0 };
    const servers = upstream.serverStates().map(({ ended, gates, ...server }, number): ServerState => {
      const { since, rates } = measure(`${number} ${name}`, ended);
      look.limit += server.limit;
      look.inFlight += server.inFlight;
      look.answers += since.answers;
      look.refusals += since.refusals;
      look.faults += since.faults;
      return { ...server, rates, gates: gates.slice(0, MOST_GATES) };
    });
    return { name, quietUntil, waiting, servers, minutes: keepMinute(name, look) };
  }

  return (hasEnded) => ({ atMs: nowMs(), hasEnded, upstreams: upstreams.map(stateOf) });
}

/** Tells every few seconds, and when the signal ends a last time that the worker has ended. A bucket that is away misses some of it. Never rejects. */
export async function tellState({
  workerId,
  states,
  record,
  nowMs,
  signal,
  everyMs = TELL_EVERY_MS,
}: {
  workerId: string;
  states: Pick<WorkerStateStore, 'write' | 'removeOld'>;
  record: (hasEnded: boolean) => WorkerState;
  nowMs: () => number;
  signal: AbortSignal;
  everyMs?: number;
}): Promise<void> {
  for (let cleanedMs = -Infinity; !signal.aborted;) {
    await states.write(workerId, record(false)).catch(() => undefined);
    if (nowMs() - cleanedMs >= CLEAN_EVERY_MS) {
      cleanedMs = nowMs();
      await states.removeOld(cleanedMs).catch(() => undefined);
    }
    await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined);
  }
  await states.write(workerId, record(true)).catch(() => undefined);
}

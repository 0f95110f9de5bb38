/** What one worker tells of a server of an upstream. Rates are per second, over the last half minute. */
export interface ServerState {
  /** Host and port. */
  server: string;
  /** Requests that this worker may have in flight there. */
  limit: number;
  inFlight: number;
  rates: Rates;
  gates: GateState[];
}

/** `refusals`: the server was too busy. `faults`: no usable answer. */
export interface Rates {
  answers: number;
  refusals: number;
  faults: number;
}

/** What holds requests back; `model` is null for the whole server. */
export interface GateState {
  model: string | null;
  kind: 'away' | 'refused' | 'failed' | 'denied';
  /** The status and the server's own words, or what happened on the connection. */
  serverSays: string;
  sinceMs: number;
}

/** One minute of an upstream: what was in flight on average, and how many requests ended how. `at` is Unix seconds. */
export interface Minute extends Rates {
  at: number;
  limit: number;
  inFlight: number;
}

export interface UpstreamState {
  name: string;
  /** When its quiet hours end, in words; null outside of them. */
  quietUntil: string | null;
  /** Requests that wait in this worker. */
  waiting: number;
  servers: ServerState[];
  /** The last hour, oldest first. */
  minutes: Minute[];
}

/** What one worker process told last. */
export interface WorkerState {
  atMs: number;
  hasEnded: boolean;
  upstreams: UpstreamState[];
}

/** The same of all workers together. */
export interface SummedUpstream extends Omit<UpstreamState, 'name'> {
  workers: number;
}

/** A worker that has told nothing for so long is gone. */
const GONE_MS = 30_000;
/** What a worker told of the last minutes counts for so long. */
export const HISTORY_MS = 3_600_000;

/** Sums what workers told, by name of the upstream. Workers that are gone count in the minutes only. */
export function sumWorkers(workers: readonly WorkerState[], nowMs: number): Map<string, SummedUpstream> {
  const sums = new Map<string, SummedUpstream>();
  for (const { atMs, hasEnded, upstreams } of workers) {
    const isHere = !hasEnded && nowMs - atMs < GONE_MS;
    for (const told of upstreams) {
      const sum = sums.get(told.name) ?? { workers: 0, quietUntil: null, waiting: 0, servers: [], minutes: [] };
      sums.set(told.name, sum);
      sum.minutes = addMinutes(sum.minutes, told.minutes, nowMs);
      if (!isHere) continue;
      sum.workers += 1;
      sum.quietUntil ??= told.quietUntil;
      sum.waiting += told.waiting;
      for (const server of told.servers) addServer(sum.servers, server);
    }
  }
  return sums;
}

export function addRates(a: Rates, b: Rates): Rates {
  return { answers: a.answers + b.answers, refusals: a.refusals + b.refusals, faults: a.faults + b.faults };
}

function addServer(servers: ServerState[], told: ServerState): void {
  const found = servers.find(({ server }) => server === told.server);
  if (found === undefined) return void servers.push({ ...told, gates: [...told.gates] });
  found.limit += told.limit;
  found.inFlight += told.inFlight;
  found.rates = addRates(found.rates, told.rates);
  for (const gate of told.gates) {
    const same = found.gates.find(({ model, kind }) => model === gate.model && kind === gate.kind);
    if (same === undefined) found.gates.push({ ...gate });
    else same.sinceMs = Math.min(same.sinceMs, gate.sinceMs);
  }
}

function addMinutes(sum: readonly Minute[], told: readonly Minute[], nowMs: number): Minute[] {
  const byTime = new Map(sum.map((minute) => [minute.at, minute]));
  for (const minute of told) {
    if (nowMs - minute.at * 1000 > HISTORY_MS) continue;
    const found = byTime.get(minute.at);
    const both = { limit: (found?.limit ?? 0) + minute.limit, inFlight: (found?.inFlight ?? 0) + minute.inFlight };
    byTime.set(minute.at, { at: minute.at, ...both, ...addRates(found ?? { answers: 0, refusals: 0, faults: 0 }, minute) });
  }
  return [...byTime.values()].sort((a, b) => a.at - b.at);
}

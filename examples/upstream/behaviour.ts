/** How the example upstream behaves; everything can be changed while it runs. Shares are from 0 to 1. */
export interface Behaviour {
  /** Mean time to serve a request, in milliseconds. */
  latency: number;
  /** Spread of the log-normal distribution of that time; 0 makes every answer take `latency` exactly. */
  sigma: number;
  /** Requests served at a time; the rest queue, as in vLLM, and are never refused. 0 serves all at once. */
  capacity: number;
  /** Requests per minute before 429 is answered; 0 for no limit. */
  rpm: number;
  /** Retry-After of 429 and 503, in seconds. */
  retryAfter: number;
  /** Other choices of fate and time for the same requests. */
  seed: number;
  /** Whether bodies are kept also for requests without a marker, under their Idempotency-Key. */
  keep: boolean;
  fail400: number;
  fail429: number;
  fail500: number;
  fail503: number;
  hang: number;
  slow: number;
  malformed: number;
  empty: number;
  reset: number;
}

/** Answers at once, always, to everybody: what tests begin with. */
export const PLAIN: Behaviour = {
  latency: 0,
  sigma: 0,
  capacity: 0,
  rpm: 0,
  retryAfter: 1,
  seed: 1,
  keep: false,
  fail400: 0,
  fail429: 0,
  fail500: 0,
  fail503: 0,
  hang: 0,
  slow: 0,
  malformed: 0,
  empty: 0,
  reset: 0,
};

/** What a first start without flags shows: a small model server that takes its time. */
export const LIFELIKE: Behaviour = { ...PLAIN, latency: 300, sigma: 0.5, capacity: 16 };

/** What happens to one request beside its status: `cut` resets in the middle of the body, `gzip` encodes it unasked. */
export type Mode = 'ok' | 'hang' | 'slow' | 'malformed' | 'empty' | 'reset' | 'cut' | 'gzip';

/** What one request asks for in its `user` member; absent parts follow the behaviour. */
export interface Script {
  marker: string | null;
  statuses: number[];
  delayMs: number | null;
  modes: Mode[];
}

const MODES: readonly string[] = ['ok', 'hang', 'slow', 'malformed', 'empty', 'reset', 'cut', 'gzip'] satisfies Mode[];

/**
 * Reads `"user": "marker=abc; status=503,503,200; delay=50; mode=reset,ok"`. Lists are for one call after the other, the
 * last entry for all that follow; calls are counted by marker, or by Idempotency-Key without one.
 */
export function readScript(user: unknown): Script | null {
  if (typeof user !== 'string' || !user.includes('=')) return null;
  const script: Script = { marker: null, statuses: [], delayMs: null, modes: [] };
  for (const part of user.split(';')) {
    const at = part.indexOf('=');
    const [name, value] = [part.slice(0, at).trim(), part.slice(at + 1).trim()];
    if (name === 'marker') script.marker = value;
    else if (name === 'status') script.statuses = value.split(',').map(Number).filter(isStatus);
    else if (name === 'delay') script.delayMs = Number(value);
    else if (name === 'mode') script.modes = value.split(',').filter(isMode);
  }
  return script;
}

/** Node throws for a status that is no number of three digits, and 1xx announces an answer that would never come. */
function isStatus(status: number): boolean {
  return Number.isInteger(status) && status >= 200 && status <= 599;
}

function isMode(text: string): text is Mode {
  return MODES.includes(text);
}

/** What will happen to a request. */
export interface Fate {
  status: number;
  mode: Mode;
  delayMs: number;
}

/** Decides by script or, without one, by lot: the same request, call and seed always have the same fate. */
export function fateOf(behaviour: Behaviour, script: Script | null, hash: number, call: number): Fate {
  const lot = numbers((hash ^ Math.imul(behaviour.seed, 0x9e3779b1) ^ Math.imul(call, 0x85ebca6b)) >>> 0);
  const delayMs = script?.delayMs ?? latencyOf(behaviour, lot);
  const status = entry(script?.statuses, call);
  const mode = entry(script?.modes, call);
  if (status !== undefined || mode !== undefined) return { status: status ?? 200, mode: mode ?? 'ok', delayMs };

  let share = lot();
  for (const [name, fate] of FATES) {
    share -= behaviour[name];
    if (share < 0) return { status: 200, mode: 'ok', delayMs, ...fate };
  }
  return { status: 200, mode: 'ok', delayMs };
}

const FATES = [
  ['fail400', { status: 400 }],
  ['fail429', { status: 429 }],
  ['fail500', { status: 500 }],
  ['fail503', { status: 503 }],
  ['hang', { mode: 'hang' }],
  ['slow', { mode: 'slow' }],
  ['malformed', { mode: 'malformed' }],
  ['empty', { mode: 'empty' }],
  ['reset', { mode: 'reset' }],
] as const;

function entry<T>(list: readonly T[] | undefined, call: number): T | undefined {
  return list?.[Math.min(call, list.length) - 1];
}

function latencyOf({ latency, sigma }: Behaviour, lot: () => number): number {
  if (sigma === 0 || latency === 0) return latency;
  const normal = Math.sqrt(-2 * Math.log(1 - lot())) * Math.cos(2 * Math.PI * lot());
  // The mean of a log-normal distribution is exp(mu + sigma²/2).
  return Math.exp(Math.log(latency) - (sigma * sigma) / 2 + sigma * normal);
}

/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

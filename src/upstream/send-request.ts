import type { Usage } from '../domain/batch.ts';
import type { Attempt, FaultCode, UpstreamRequest } from './client.ts';
import type { Observation, Permit } from './limiter.ts';
import { onAbort } from './on-abort.ts';
import type { Upstream } from './routes.ts';

/** What becomes of a request that was handed to `sendUntilDone`. */
export type SendResult =
  | { kind: 'outcome'; outcome: SendOutcome; faults: number }
  /** One more fault, not the last one allowed: to be tried again later, with `faults` as they are now. */
  | { kind: 'fault'; faults: number; code: FaultCode; status: number | null }
  /** Only if `isPaced`: to be tried again when the wait is over, with `refusals` as they are now; `status` is null if nobody refused it. */
  | { kind: 'postponed'; refusals: number; status: number | null; waitMs: number }
  /** Nothing is in flight and nothing was concluded: sending was stopped. */
  | { kind: 'not_sent'; faults: number; refusals: number }
  /** Aborted in flight. */
  | { kind: 'aborted' };

/** What the attempts of a request ended in: an answer of any status (without configured credentials; `usage` as a 2xx reports it), or none. */
export type SendOutcome =
  | { kind: 'answered'; status: number; body: Buffer; requestId: string | null; usage: Usage | null }
  | { kind: 'errored'; code: FaultCode; message: string };

/** What a request is doing, for heartbeat details: numbers and our own words only. Times are Unix milliseconds. */
export type SendState =
  | { state: 'waiting' }
  | { state: 'unavailable'; sinceMs: number; reason: string }
  | { state: 'refused'; refusals: number; nextTryMs: number }
  | { state: 'sent' };

export interface SendOptions {
  upstream: Upstream;
  batchId: string;
  /** Of the requests of a batch, those of the lowest rank are sent first; 0 where nothing is said. */
  rank?: number;
  /** Tells different requests apart; the same for all attempts of one. */
  requestKey: string;
  request: UpstreamRequest;
  /** Aborts also what is in flight. */
  signal: AbortSignal;
  /** Nothing new is sent; what is in flight goes on. */
  stopSending: AbortSignal;
  /** Counts of earlier calls for the same request. */
  faults: number;
  refusals?: number;
  /** Hears of every change; when it answers a promise, that is awaited before the request goes out. */
  onState: (state: SendState) => void | Promise<void>;
  /**
   * Temporal holds a budget of requests: what it let go may go out once and without delay. A refusal is answered instead of waited out,
   * and who was held back at the gate goes out by a new attempt, unless as a probe.
   */
  isPaced: boolean;
  nowMs?: () => number;
}

/** A reset counts as a fault unless the gate closes within this time: then the server went away, not the request wrong. */
const RESET_GRACE_MS = 5000;
/** Tries on the wire that may cost nothing in one call, so that a request that kills its server does not do so for ever. */
const MAX_FREE_TRIES = 20;

/**
 * Sends one request through gate and limiter until it has an outcome or the caller has something to decide. Refusals and
 * unavailability are waited out in here and cost the request nothing; faults are counted. Rejects only on defects.
 */
export async function sendUntilDone(options: SendOptions): Promise<SendResult> {
  const { upstream, batchId, rank, requestKey, request, signal, stopSending, onState, isPaced, nowMs = Date.now } = options;
  const { client, limiter, gate, rules } = upstream;
  let { faults, refusals = 0 } = options;
  let [freeTries, unreached, isLate] = [0, 0, false];
  const ended = eitherOf(signal, stopSending);

  for (;;) {
    isLate ||= gate.closed !== null;
    if (gate.closed !== null) await onState({ state: 'unavailable', ...gate.closed });
    const passed = gate.closed === null ? 'open' : await orStopped(gate.pass(requestKey, ended), ended);
    if (passed === null) return { kind: 'not_sent', faults, refusals };
    if (passed === 'given_up') {
      const message = `the upstream has been unavailable for longer than ${(rules.unavailableMaxMs ?? 0) / 1000} s`;
      return { kind: 'outcome', outcome: { kind: 'errored', code: 'connection_error', message }, faults };
    }

    const isProbe = passed === 'probe';
    // All that waited would go out at once, and beside the budget. A new attempt knows of refusals and of no free tries.
    if (isPaced && isLate && !isProbe) return { kind: 'postponed', refusals: refusals + freeTries, status: null, waitMs: 0 };
    if (!isProbe && limiter.inFlight >= limiter.limit) await onState({ state: 'waiting' });
    const permit = isProbe ? limiter.probe() : await orStopped(limiter.acquire(batchId, ended, rank), ended);
    // The gate may have closed while this request waited for its place: it waits for the gate again.
    const isStale = !isProbe && gate.closed !== null;
    if (permit === null || isStale) {
      gate.observe(requestKey, { kind: 'ignored' });
      permit?.release({ kind: 'ignored' });
      if (permit === null) return { kind: 'not_sent', faults, refusals };
      continue;
    }

    const attempt = await sendOnce(permit);
    switch (attempt.kind) {
      case 'aborted':
        return { kind: 'aborted' };

      case 'answer':
        return { kind: 'outcome', outcome: answered(attempt), faults };

      case 'unavailable':
        unreached += 1;
        // Others are answered: at once the first time, for it may have been this connection alone.
        if (gate.closed !== null || unreached === 1) continue;
        isLate = true;
        if (!isPaced) {
          await onState({ state: 'unavailable', sinceMs: nowMs(), reason: 'no connection to it was made' });
          await sleep(backoffMs(unreached - 1), ended);
        }
        continue;

      case 'refusal': {
        // A probe in vain says something about the upstream and nothing about the request.
        if (isProbe) continue;
        refusals += 1;
        if (refusals >= rules.maxRefusals) return { kind: 'outcome', outcome: answered(attempt), faults };
        const waitMs = refusalWaitMs(refusals, attempt.retryAfterMs);
        if (isPaced) return { kind: 'postponed', refusals, status: attempt.status, waitMs };
        await onState({ state: 'refused', refusals, nextTryMs: nowMs() + waitMs });
        await sleep(waitMs, ended);
        continue;
      }

      case 'fault': {
        const isReset = attempt.code === 'connection_error';
        const mostFree = isPaced ? rules.maxRefusals - 1 - refusals : MAX_FREE_TRIES;
        const isFree = freeTries < mostFree && (isProbe || (isReset && (await gate.closesWithin(RESET_GRACE_MS, ended))));
        if (isFree) {
          freeTries += 1;
          isLate = true;
          continue;
        }
        faults += 1;
        const status = attempt.answer?.status ?? null;
        if (faults < rules.maxFaults) return { kind: 'fault', faults, code: attempt.code, status };
        const errored: SendOutcome = { kind: 'errored', code: attempt.code, message: attempt.message };
        return { kind: 'outcome', outcome: attempt.answer === null ? errored : answered(attempt.answer), faults };
      }
    }
  }

  async function sendOnce(permit: Permit): Promise<Attempt> {
    let seen: Observation = { kind: 'ignored' };
    try {
      await onState({ state: 'sent' });
      const attempt = await client.send(request, signal);
      seen = observationOf(attempt);
      return attempt;
    } finally {
      // Both learn before anything else happens, so that whoever comes next finds the gate as it must be; it asks the limiter.
      permit.release(seen);
      gate.observe(requestKey, seen);
    }
  }

  function answered(answer: { status: number; body: Buffer; requestId: string | null; usage?: Usage | null }): SendOutcome {
    const { status, body, requestId, usage = null } = answer;
    const redacted = upstream.redact(body, status >= 200 && status < 300);
    // Some gateways make the id out of headers of the request.
    const id = requestId === null ? null : upstream.redact(Buffer.from(requestId), false).toString();
    return { kind: 'answered', status, body: redacted, requestId: id, usage };
  }

  function refusalWaitMs(count: number, retryAfterMs: number | null): number {
    return retryAfterMs === null ? backoffMs(count) : Math.min(retryAfterMs, rules.maxRetryAfterMs);
  }

  function backoffMs(count: number): number {
    const longestMs = Math.min(rules.refusalBackoffMs * 2 ** Math.max(0, count - 1), rules.maxRetryAfterMs);
    return longestMs * (0.5 + Math.random() / 2);
  }
}

function observationOf(attempt: Attempt): Observation {
  switch (attempt.kind) {
    case 'answer':
      return {
        kind: 'answer',
        ms: attempt.status < 300 ? attempt.ms : null,
        outputTokens: attempt.usage?.output_tokens ?? null,
        totalTokens: attempt.usage?.total_tokens ?? null,
        budgets: attempt.budgets,
      };
    case 'refusal':
      return { kind: 'overload', retryAfterMs: attempt.retryAfterMs, budgets: attempt.budgets };
    case 'fault':
      return { kind: 'fault', answered: attempt.answer !== null || attempt.code === 'invalid_response' };
    case 'unavailable':
      return { kind: 'unavailable' };
    case 'aborted':
      return { kind: 'ignored' };
  }
}

/** One signal per pair: all requests of a slice bring the same two, and a combined signal is not cheap. */
const combined = new WeakMap<AbortSignal, { other: AbortSignal; either: AbortSignal }>();

function eitherOf(signal: AbortSignal, other: AbortSignal): AbortSignal {
  const known = combined.get(signal);
  if (known?.other === other) return known.either;
  const either = AbortSignal.any([signal, other]);
  combined.set(signal, { other, either });
  return either;
}

/** Null when the wait ended because of the signal. */
async function orStopped<T>(wait: Promise<T>, signal: AbortSignal): Promise<T | null> {
  try {
    return await wait;
  } catch (error) {
    if (signal.aborted) return null;
    throw error;
  }
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer);
      forget();
      resolve();
    };
    const timer = setTimeout(end, ms);
    const forget = onAbort(signal, end);
  });
}

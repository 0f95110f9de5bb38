import type { Observation } from './limiter.ts';
import { onAbort } from './on-abort.ts';

/**
 * Holds requests back while an upstream is unavailable. Closed means: nothing is sent except probes, at growing intervals,
 * one waiting request after the other.
 */
export interface Gate {
  /**
   * Resolves to `'open'` at once when open, to `'probe'` for a request that may try while closed, and to `'given_up'` when
   * the gate has been closed for longer than the upstream's patience; rejects with the signal's reason when that ends first.
   */
  pass(requestKey: string, signal: AbortSignal): Promise<'open' | 'probe' | 'given_up'>;
  /** Learns from an attempt; `requestKey` tells different requests apart and finds the probe again. Due after every `pass` that let a request through. */
  observe(requestKey: string, seen: Observation): void;
  /** Resolves to whether the gate is closed, now or within this time; to false early when the signal ends. */
  closesWithin(ms: number, signal: AbortSignal): Promise<boolean>;
  /** Since when (Unix milliseconds) it has been closed and why; null while open. */
  readonly closed: { sinceMs: number; reason: string } | null;
}

export interface GateOptions {
  /** Unix time, for what is told. */
  nowMs?: () => number;
  /** For what is waited. */
  monotonicMs?: () => number;
  /** Requests refused since one was last taken, in the order in which they went out. */
  refusedInARow?: () => number;
  firstProbeMs?: number;
  /** Longest interval between probes. */
  maxProbeMs?: number;
  /** Longest wait that a Retry-After may put before the next probe. */
  maxRetryAfterMs?: number;
  /** How long it may be closed before waiting requests give up; null waits without end. */
  unavailableMaxMs?: number | null;
}

interface Waiting {
  requestKey: string;
  readonly resolve: (verdict: 'open' | 'probe' | 'given_up') => void;
}

/**
 * Different requests that must be refused with no answer between before the gate closes, and refusals in a row: of many under
 * way three are refused by chance before the next one is answered.
 */
const REFUSED_TO_CLOSE = 3;
const REFUSALS_IN_A_ROW = 6;

/** An open gate. */
export function createGate({
  nowMs = Date.now,
  monotonicMs = () => performance.now(),
  refusedInARow = () => REFUSALS_IN_A_ROW,
  firstProbeMs = 250,
  maxProbeMs = 15_000,
  maxRetryAfterMs = 60_000,
  unavailableMaxMs = null,
}: GateOptions = {}): Gate {
  let closed: { sinceMs: number; reason: string } | null = null;
  let closedAtMs = 0;
  /** Whether anything has come back from it since it opened, and since a connection failed. */
  let isThere = false;
  /** Requests refused since the last answer. */
  const refused = new Set<string>();
  /** Requests on their way while closed. A slow one does not hold up the next probe: its answer may take minutes. */
  const probes = new Set<string>();
  /** In the order in which they may probe: whoever probed in vain comes back at the end. */
  const waiting = new Set<Waiting>();
  const closings = new Set<() => void>();
  // Stays long when a gate that has just opened closes again without a success between.
  let intervalMs = firstProbeMs;
  let nextProbeMs = 0;
  let probeTimer: NodeJS.Timeout | null = null;
  let givingUpTimer: NodeJS.Timeout | null = null;

  function close(reason: string): void {
    if (closed !== null) return;
    closed = { sinceMs: nowMs(), reason };
    closedAtMs = monotonicMs();
    nextProbeMs = closedAtMs + intervalMs;
    if (unavailableMaxMs !== null) givingUpTimer = setTimeout(giveUp, unavailableMaxMs);
    for (const notify of closings) notify();
    closings.clear();
  }

  function open(): void {
    closed = null;
    isThere = true;
    refused.clear();
    probes.clear();
    stopTimers();
    for (const { resolve } of waiting) resolve('open');
    waiting.clear();
  }

  function stopTimers(): void {
    if (probeTimer !== null) clearTimeout(probeTimer);
    if (givingUpTimer !== null) clearTimeout(givingUpTimer);
    probeTimer = givingUpTimer = null;
  }

  function giveUp(): void {
    for (const { resolve } of waiting) resolve('given_up');
    waiting.clear();
  }

  function isGivenUp(): boolean {
    return closed !== null && unavailableMaxMs !== null && monotonicMs() - closedAtMs >= unavailableMaxMs;
  }

  function takeProbe(requestKey: string): void {
    probes.add(requestKey);
    nextProbeMs = monotonicMs() + intervalMs;
    intervalMs = Math.min(intervalMs * 2, maxProbeMs);
  }

  /** Lets the next waiting request try as soon as it may; without one, whoever comes first once it is time. */
  function planProbe(): void {
    if (probeTimer !== null) clearTimeout(probeTimer);
    probeTimer = null;
    if (closed === null || waiting.size === 0) return;
    probeTimer = setTimeout(
      () => {
        probeTimer = null;
        const [first] = waiting;
        if (first === undefined) return;
        if (monotonicMs() >= nextProbeMs) {
          waiting.delete(first);
          takeProbe(first.requestKey);
          first.resolve('probe');
        }
        planProbe();
      },
      Math.max(0, Math.ceil(nextProbeMs - monotonicMs())),
    );
  }

  return {
    async pass(requestKey, signal) {
      signal.throwIfAborted();
      if (closed === null) return 'open';
      if (waiting.size === 0 && monotonicMs() >= nextProbeMs) {
        takeProbe(requestKey);
        return 'probe';
      }
      if (isGivenUp()) return 'given_up';
      return await new Promise((resolve, reject) => {
        const request: Waiting = {
          requestKey,
          resolve: (verdict) => {
            forget();
            resolve(verdict);
          },
        };
        const leave = () => {
          waiting.delete(request);
          planProbe();
          reject(signal.reason);
        };
        const forget = onAbort(signal, leave);
        waiting.add(request);
        if (probeTimer === null) planProbe();
      });
    },

    observe(requestKey, seen) {
      const isProbe = closed !== null && probes.delete(requestKey);
      if (closed === null) isThere ||= seen.kind === 'answer' || seen.kind === 'overload' || (seen.kind === 'fault' && seen.answered);
      if (seen.kind === 'answer') {
        refused.clear();
        // While closed only a probe counts: a request sent before may still be answered by a server that is going away.
        if (closed === null || isProbe) intervalMs = firstProbeMs;
        if (isProbe) open();
      } else if (seen.kind === 'fault') {
        if (isProbe && seen.answered) open();
      } else if (seen.kind === 'unavailable') {
        // One connection may fail while others are answered; a second one with nothing between says that nobody is there.
        if (!isThere) close('it cannot be reached');
        isThere = false;
      } else if (seen.kind === 'overload') {
        refused.add(requestKey);
        if (refused.size >= REFUSED_TO_CLOSE && refusedInARow() >= REFUSALS_IN_A_ROW) close('it refuses all requests');
        if (closed !== null && seen.retryAfterMs !== null) {
          nextProbeMs = Math.max(nextProbeMs, monotonicMs() + Math.min(seen.retryAfterMs, maxRetryAfterMs));
          planProbe();
        }
      } else if (isProbe) {
        // A probe that was called off told nothing: the next one need not wait for it.
        nextProbeMs = monotonicMs();
        planProbe();
      }
    },

    async closesWithin(ms, signal) {
      if (closed !== null) return true;
      if (signal.aborted) return false;
      return await new Promise((resolve) => {
        const settle = (isClosed: boolean) => {
          clearTimeout(timer);
          closings.delete(onClose);
          forget();
          resolve(isClosed);
        };
        const onClose = () => settle(true);
        const timer = setTimeout(() => settle(false), ms);
        closings.add(onClose);
        const forget = onAbort(signal, () => settle(false));
      });
    },

    get closed() {
      return closed;
    },
  };
}

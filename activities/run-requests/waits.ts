import type { Attempt } from '../../src/domain/attempt.ts';
import { describeWait, type WaitFact, type WaitingReason } from '../../src/domain/waiting.ts';
import type { GateClass } from '../../src/upstream/admission/gate.ts';
import type { Entrant } from '../../src/upstream/admission/entrant.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';

/** What a line waits for. Called only for a heartbeat or a report, and describes the moment of the call. */
export type Wait = () => WaitView;

export interface WaitView {
  /** For heartbeats. */
  text: () => string;
  /** The reason that clients see; null where a line waits for something of this worker, for a moment. */
  fact: WaitFact | null;
}

const IN_WORDS: Readonly<Record<GateClass, string>> = {
  away: 'it cannot be reached',
  refused: 'it refuses requests',
  failed: 'it fails',
  denied: 'it denies access',
};

const REASONS: Readonly<Record<GateClass, WaitingReason>> = {
  away: 'upstream_away',
  refused: 'upstream_refuses',
  failed: 'upstream_fails',
  denied: 'upstream_denies',
};

/** Why a request of the entrant's model waits now. */
export function enteringFact(upstream: Upstream, entrant: Pick<Entrant, 'model'>): WaitFact {
  const reason = upstream.reasonFor(entrant);
  const common = { upstream: upstream.name, serverSays: null, sinceMs: null };
  switch (reason.kind) {
    case 'place':
      return { ...common, reason: 'places' };
    case 'budget':
      return { ...common, reason: 'budget' };
    case 'hours':
      return { ...common, reason: 'quiet_hours', until: reason.until };
    case 'paused':
      return { ...common, reason: 'paused', sinceMs: reason.pause.since * 1000, pausedBy: reason.pause.what };
    case 'gate': {
      const { closed, model } = reason;
      const of = { serverSays: closed.reason, sinceMs: closed.sinceMs, model: model === '' ? null : model };
      return { ...common, ...of, reason: REASONS[closed.kind] };
    }
  }
}

/** Why the entrant waits to be sent. */
export function describeEntering(upstream: Upstream, entrant: Entrant): Wait {
  return () => viewOf(enteringFact(upstream, entrant));
}

/** How the upstream has been unavailable, and the last words of its server, the last reason first; nothing where it is available. */
export function describeGate(upstream: Upstream, entrant: Entrant): string[] {
  const reason = upstream.reasonFor(entrant);
  return reason.kind === 'gate' ? [IN_WORDS[reason.closed.kind], reason.closed.reason] : [];
}

/** That it is not known yet whether the attempt failed by itself. */
export function describeSettling(upstream: Upstream, { message }: Attempt & { message: string }): Wait {
  return () => ({ text: () => `to learn whether other requests fail too: ${message}`, fact: backoffFact(upstream, message) });
}

/** What went wrong, in words. */
export function reasonOf(attempt: Attempt): string {
  return 'message' in attempt ? attempt.message : attempt.kind;
}

/** That a line waits for its next try. */
export function backoffFact(upstream: Upstream, says: string): WaitFact {
  return { reason: 'backoff', upstream: upstream.name, serverSays: says, sinceMs: null };
}

/** That the line waits for its next try. */
export function describeRetry(upstream: Upstream, says: string, nextTryMs: number): Wait {
  return () => ({ text: () => `for its next try ${new Date(nextTryMs).toISOString()}: ${says}`, fact: backoffFact(upstream, says) });
}

export function describeBucket(): WaitView {
  return viewOf({ reason: 'bucket', upstream: null, serverSays: null, sinceMs: null });
}

/** A wait of which clients are not told. */
export function momentary(text: string): WaitView {
  return { text: () => text, fact: null };
}

function viewOf(fact: WaitFact): WaitView {
  return { text: () => describeWait(fact), fact };
}

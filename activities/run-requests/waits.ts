import type { Attempt } from '../../src/domain/attempt.ts';
import type { GateClass } from '../../src/upstream/admission/gate.ts';
import type { Entrant } from '../../src/upstream/admission/entrant.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';

/** Why a line waits, for heartbeats. It is asked for only when a heartbeat goes out, and then tells how things stand. */
export type Wait = () => string;

const IN_WORDS: Readonly<Record<GateClass, string>> = {
  away: 'it cannot be reached',
  refused: 'it refuses requests',
  failed: 'it fails',
  denied: 'it denies access',
};

/** Why the entrant waits to be sent. */
export function describeEntering(upstream: Upstream, entrant: Entrant): Wait {
  return () => {
    const reason = upstream.reasonFor(entrant);
    switch (reason.kind) {
      case 'place':
        return 'for a place upstream';
      case 'budget':
        return 'for the rate limit of the upstream';
      case 'hours':
        return `for the quiet hours of the upstream to end at ${reason.until}`;
      case 'paused':
        return `until an operator resumes ${reason.pause.what === 'everything' ? 'everything' : 'the upstream'}, paused since ${time(reason.pause.since * 1000)}`;
      case 'gate': {
        const { closed, model } = reason;
        const what = model === null || model === '' ? 'the upstream' : `the model "${model.slice(0, 80)}"`;
        return `for ${what}: ${IN_WORDS[closed.kind]} since ${time(closed.sinceMs)}: ${closed.reason}`;
      }
    }
  };
}

/** How the upstream has been unavailable, and the last words of its server, the last reason first; nothing where it is available. */
export function describeGate(upstream: Upstream, entrant: Entrant): string[] {
  const reason = upstream.reasonFor(entrant);
  return reason.kind === 'gate' ? [IN_WORDS[reason.closed.kind], reason.closed.reason] : [];
}

/** That it is not known yet whether the attempt failed by itself. */
export function describeSettling(attempt: Attempt & { message: string }): Wait {
  return () => `to learn whether other requests fail too: ${attempt.message}`;
}

/** What went wrong, in words. */
export function reasonOf(attempt: Attempt): string {
  return 'message' in attempt ? attempt.message : attempt.kind;
}

/** That the line waits for its next try. */
export function describeRetry(reason: string, nextTryMs: number): Wait {
  return () => `for its next try ${time(nextTryMs)}: ${reason}`;
}

function time(unixMs: number): string {
  return new Date(unixMs).toISOString();
}

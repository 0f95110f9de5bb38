import type { UpstreamClient } from './client.ts';
import type { Gate } from './gate.ts';
import type { Intake } from './intake.ts';
import type { Limiter } from './limiter.ts';
import type { Redaction } from './redact.ts';

/** One upstream as workers use it: the client, what limits it, and its rules. */
export interface Upstream {
  readonly name: string;
  readonly client: UpstreamClient;
  readonly limiter: Limiter;
  readonly gate: Gate;
  readonly intake: Intake;
  /** Requests per minute from all workers together, held by the rate of its task queue; null for no limit. */
  readonly requestsPerMinute: number | null;
  readonly rules: UpstreamRules;
  readonly redact: Redaction;
}

/** Counts and waits of §6 of the design; configuration. */
export interface UpstreamRules {
  /** The fault that ends a request (5). */
  maxFaults: number;
  /** The refusal that ends a request (20). */
  maxRefusals: number;
  /** Longest wait a Retry-After may cause. */
  maxRetryAfterMs: number;
  /** First backoff after a refusal without Retry-After; doubles up to `maxRetryAfterMs`. */
  refusalBackoffMs: number;
  /** How long the gate may be closed before waiting requests end as `connection_error`; null waits until the window ends. */
  unavailableMaxMs: number | null;
}

/** Which upstream serves a model. */
export interface ModelRoutes {
  /**
   * The upstream that serves all models given, or the first model that nobody serves, or `'mismatched'` when no single
   * upstream serves them all. No model at all goes to the upstream that serves every model.
   */
  route(models: readonly string[]): { upstream: string } | { unknownModel: string } | 'mismatched';
  readonly names: readonly string[];
}

/**
 * Routes by the models that upstreams name: exactly, or by a pattern in which `*` stands for any characters. An exact name
 * goes before a pattern, a longer pattern before a shorter one, and an upstream that names none takes what is left.
 */
export function createModelRoutes(upstreams: readonly { name: string; models: readonly string[] | null }[]): ModelRoutes {
  const exact = new Map<string, string>();
  const patterns: { matches: (model: string) => boolean; length: number; upstream: string }[] = [];
  let rest: string | null = null;
  for (const { name, models } of upstreams) {
    if (models === null) rest ??= name;
    for (const model of models ?? []) {
      if (model.includes('*')) patterns.push({ matches: createGlob(model), length: model.length, upstream: name });
      // Of two upstreams that name the same model the first one has it.
      else if (!exact.has(model)) exact.set(model, name);
    }
  }
  patterns.sort((a, b) => b.length - a.length);

  function upstreamOf(model: string): string | null {
    return exact.get(model) ?? patterns.find(({ matches }) => matches(model))?.upstream ?? rest;
  }

  return {
    route(models) {
      if (models.length === 0) {
        // What serves a model without a name serves every model.
        const upstream = upstreamOf('');
        return upstream === null ? { unknownModel: '' } : { upstream };
      }
      let found: string | null = null;
      let mismatched = false;
      for (const model of models) {
        const upstream = upstreamOf(model);
        if (upstream === null) return { unknownModel: model };
        found ??= upstream;
        mismatched ||= upstream !== found;
      }
      return mismatched || found === null ? 'mismatched' : { upstream: found };
    },
    names: upstreams.map(({ name }) => name),
  };
}

/** Matches in time that grows with the name, whatever the pattern: a regular expression would try every way to place each `*`. */
function createGlob(pattern: string): (model: string) => boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop() ?? '';
  return (model) => {
    if (model.length < first.length + last.length || !model.startsWith(first) || !model.endsWith(last)) return false;
    const end = model.length - last.length;
    let at = first.length;
    // The leftmost place of each piece leaves the most for those that follow.
    for (const piece of rest) {
      const found = model.indexOf(piece, at);
      if (found === -1 || found + piece.length > end) return false;
      at = found + piece.length;
    }
    return true;
  };
}

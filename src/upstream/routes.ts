import { createNameTable } from '../domain/name-table.ts';
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
  /** The body as this upstream takes it: aliases replaced and members added. The same bytes where nothing is configured. */
  readonly rewrite: (body: Uint8Array) => Uint8Array;
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
 * Routes by the models that upstreams name, their aliases included: exactly, or by a pattern in which `*` stands for any characters. An
 * exact name goes before a pattern, a longer pattern before a shorter one, and an upstream that names none takes what is left.
 */
export function createModelRoutes(
  upstreams: readonly { name: string; models: readonly string[] | null; aliases?: Readonly<Record<string, string>> }[],
): ModelRoutes {
  // Of two upstreams that name the same model the first one has it.
  const named = createNameTable(
    upstreams.flatMap(({ name, models, aliases = {} }) =>
      [...(models ?? []), ...Object.keys(aliases)].map((model) => [model, name] as const),
    ),
  );
  const rest = upstreams.find(({ models }) => models === null)?.name ?? null;

  function upstreamOf(model: string): string | null {
    return named(model) ?? rest;
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

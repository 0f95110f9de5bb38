import { createNameTable } from './name-table.ts';

/** Which upstream serves a model. */
export interface ModelRoutes {
  /** The upstream of a model; null when none serves it. A line without a model (null) goes to the upstream that serves every model. */
  route(model: string | null): ModelRoute | null;
  /** The models that upstreams name, patterns included. */
  readonly models: readonly string[];
  readonly names: readonly string[];
}

export interface ModelRoute {
  upstream: string;
  /** Whether the operator named exactly this model, or has an alias for it, so that the upstream need not list it. */
  isNamed: boolean;
}

/**
 * Routes by the models that upstreams name, their aliases included: exactly, or by a pattern in which `*` stands for any characters. An
 * exact name goes before a pattern, a longer pattern before a shorter one, and an upstream that names none takes what is left.
 */
export function createModelRoutes(
  upstreams: readonly { name: string; models: readonly string[] | null; aliases?: Readonly<Record<string, string>> }[],
): ModelRoutes {
  // Of two upstreams that name the same model the first one has it.
  const entries = upstreams.flatMap(({ name, models, aliases = {} }) => [
    ...Object.keys(aliases).map((model) => [model, { upstream: name, isAlias: true }] as const),
    ...(models ?? []).map((model) => [model, { upstream: name, isAlias: false }] as const),
  ]);
  const find = createNameTable<{ upstream: string; isAlias: boolean }>(entries);
  const models = new Set(upstreams.flatMap(({ models: names, aliases = {} }) => [...(names ?? []), ...Object.keys(aliases)]));
  const rest = upstreams.find((upstream) => upstream.models === null)?.name ?? null;

  return {
    route(model) {
      // What serves a model without a name serves every model.
      const found = find(model ?? '');
      if (found !== null) return { upstream: found.upstream, isNamed: found.isAlias || models.has(model ?? '') };
      return rest === null ? null : { upstream: rest, isNamed: false };
    },
    models: [...models],
    names: upstreams.map(({ name }) => name),
  };
}

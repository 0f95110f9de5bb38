import type { BatchError } from './batch.ts';
import * as fault from './input-errors.ts';
import { createListCheck, type ModelLists } from './model-list.ts';
import type { ModelRoute, ModelRoutes } from './model-routes.ts';
import type { CheckedSoFar } from './plan.ts';
import { createModelNumbers } from './usage.ts';

/** Finds the upstream of each line by the model that it names. */
export interface ModelCheck {
  /** Asks the upstream of a model for its list; null where that was done, or does not matter. Comes before `add`. */
  ask(model: string | null): Promise<void> | null;
  /** Takes the model of a line; answers what is wrong with it. */
  add(model: string | null, line: number): BatchError[];
  /** The model that all lines name; null when one names another or none. */
  readonly model: string | null;
  /** The upstreams of the lines so far, in the order of their first lines. */
  readonly upstreams: string[];
  /** Number of the upstream of the last line among them. */
  readonly upstream: number;
  /** Number of the model of the last line among `names`. */
  readonly number: number;
  /** The models that lines name, see `PlanHead`. */
  readonly names: readonly (string | null)[];
  /** For another check that goes on from here. */
  state(): CheckedSoFar['models'];
}

/** No lines yet, or those of an earlier check. */
export function createModelCheck({
  routes,
  modelLists,
  from = null,
}: {
  routes: ModelRoutes;
  modelLists: ModelLists;
  from?: CheckedSoFar['models'] | null;
}): ModelCheck {
  /** Of the upstreams that were asked; null for one that does not tell, which may have every model. */
  const lists = new Map<string, { names: readonly string[]; has: (model: string) => boolean } | null>();
  const upstreams: string[] = [...(from?.upstreams ?? [])];
  const numbers = createModelNumbers(from?.names);
  let [upstream, number] = [0, 0];
  /** Undefined before the first line. */
  let common: string | null | undefined = from?.hasLines === true ? from.common : undefined;
  /** Most batches name one model: the route of the last one is known. */
  let last: { model: string | null; route: ModelRoute | null; error: ((line: number) => BatchError) | null } | null = null;

  function errorOf(model: string | null, route: ModelRoute | null): ((line: number) => BatchError) | null {
    if (model === null) return route === null ? fault.noDefaultModel : null;
    if (route === null) return (line) => fault.modelNotFound(model, line, { upstream: null, known: routes.models });
    const list = route.isNamed ? null : (lists.get(route.upstream) ?? null);
    if (list === null || list.has(model)) return null;
    return (line) => fault.modelNotFound(model, line, { upstream: route.upstream, known: list.names });
  }

  return {
    upstreams,
    ask(model) {
      if (model === null || last?.model === model) return null;
      const route = routes.route(model);
      if (route === null || route.isNamed || lists.has(route.upstream)) return null;
      return modelLists.of(route.upstream).then((names) => {
        lists.set(route.upstream, names === null ? null : { names, has: createListCheck(names) });
      });
    },
    add(model, line) {
      common = common === undefined || common === model ? model : null;
      if (last === null || last.model !== model) {
        const route = routes.route(model);
        last = { model, route, error: errorOf(model, route) };
        number = numbers.of(model);
      }
      const { route, error } = last;
      if (route !== null) {
        upstream = upstreams.indexOf(route.upstream);
        if (upstream === -1) upstream = upstreams.push(route.upstream) - 1;
      }
      return error === null ? [] : [error(line)];
    },
    state: () => ({ hasLines: common !== undefined, common: common ?? null, upstreams: [...upstreams], names: [...numbers.names] }),
    get model() {
      return common ?? null;
    },
    get upstream() {
      return upstream;
    },
    get number() {
      return number;
    },
    names: numbers.names,
  };
}

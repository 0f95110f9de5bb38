import { type ModelList, type ModelLists, readModelList } from '../domain/model-list.ts';
import type { ModelsAnswer } from './client/ask-models.ts';

const KEPT_MS = 60_000;
/** A server that takes longer is not worth the wait: the check is a courtesy. */
const PATIENCE_MS = 2_000;

/** Asks through `ask`, which never rejects; a server of several is enough to know a model, but all must have answered to deny one. */
export function createModelLists({
  upstreams,
  ask,
  monotonicMs,
}: {
  upstreams: readonly { name: string; baseUrls: readonly string[]; models: readonly string[] | null; checkModels: boolean }[];
  ask: (upstream: string, baseUrl: string, patienceMs: number) => Promise<ModelsAnswer>;
  monotonicMs: () => number;
}): ModelLists {
  // Names that the operator gave one by one are taken at their word.
  const asked = new Map(
    upstreams
      .filter(({ models, checkModels }) => checkModels && (models === null || models.some((name) => name.includes('*'))))
      .map(({ name, baseUrls }) => [name, baseUrls] as const),
  );
  const kept = new Map<string, { untilMs: number; names: Promise<readonly string[] | null> }>();

  async function askAll(upstream: string, baseUrls: readonly string[]): Promise<readonly string[] | null> {
    const lists = await Promise.all(baseUrls.map(async (baseUrl) => listIn(await ask(upstream, baseUrl, PATIENCE_MS))));
    const complete = lists.flatMap((list) => (list?.isComplete ? [list.names] : []));
    return complete.length === lists.length ? [...new Set(complete.flat())] : null;
  }

  return {
    async of(upstream) {
      const baseUrls = asked.get(upstream);
      if (baseUrls === undefined) return null;
      const nowMs = monotonicMs();
      let found = kept.get(upstream);
      if (found === undefined || found.untilMs <= nowMs) {
        found = { untilMs: nowMs + KEPT_MS, names: askAll(upstream, baseUrls) };
        kept.set(upstream, found);
      }
      return await found.names;
    },
  };
}

function listIn(answer: ModelsAnswer): ModelList | null {
  return 'status' in answer && answer.status === 200 ? readModelList(answer.text) : null;
}

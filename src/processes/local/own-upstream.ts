import type { Config } from '../../config/config.ts';
import { readModelList } from '../../domain/model-list.ts';
import { askModels as askServer } from '../../upstream/client/ask-models.ts';
import { parseBaseUrl } from '../../upstream/client/base-url.ts';

const PATIENCE_MS = 3_000;
const MODELS_SHOWN = 8;

/**
 * What stands in place of the example batch where requests go to a model server of somebody's own: it gets none unasked, and
 * the model that the example names is none of its models.
 */
export async function describeOwnUpstream({ upstreams, secrets }: Config): Promise<string> {
  const [upstream] = upstreams;
  const [baseUrl] = upstream?.baseUrls ?? [];
  if (upstream === undefined || baseUrl === undefined) return '';
  const found = await askModels(baseUrl, secrets.upstreams[upstream.name]);
  const known = upstream.models === null ? found : { ...found, models: upstream.models };
  const model = known.models[0] ?? 'MODEL';
  const rows = [
    `Upstream ${upstream.name} at ${parseBaseUrl(baseUrl).origin} ${describeModels(known)}. To send it the forty requests of the example:`,
    `  sed 's|example-model|${model}|' examples/first-batch.jsonl > first-batch.jsonl`,
    '  npx nightshift submit first-batch.jsonl --wait',
  ];
  return `\n${rows.join('\n')}\n`;
}

/** What a model server says about its models. */
export interface FoundModels {
  models: readonly string[];
  /** Why it says nothing; null when it answered. */
  fault: string | null;
}

/** The rest of a sentence that begins with the name of the server. */
export function describeModels({ models, fault }: FoundModels): string {
  if (fault !== null) return fault;
  if (models.length === 0) return 'answers, but does not tell its models';
  return `serves ${models.slice(0, MODELS_SHOWN).join(', ')}${models.length > MODELS_SHOWN ? ` and ${models.length - MODELS_SHOWN} more` : ''}`;
}

/** Asks a server for its models. A server that has no such list is still a server. */
export async function askModels(baseUrl: string, credentials: Config['secrets']['upstreams'][string] | undefined): Promise<FoundModels> {
  const answer = await askServer(baseUrl, credentials, PATIENCE_MS);
  if ('fault' in answer) return { models: [], fault: `does not answer: ${answer.fault}` };
  const { status, text } = answer;
  if (status === 401 || status === 403) return { models: [], fault: `refuses the key (HTTP ${status})` };
  if (status >= 500) return { models: [], fault: `answers with HTTP ${status}` };
  // Only names that can stand in a shell's quotes are shown.
  return { models: (readModelList(text)?.names ?? []).filter((name) => /^[\w./:@+-]+$/.test(name)), fault: null };
}

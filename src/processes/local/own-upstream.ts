import type { Config } from '../../config.ts';
import { parseBaseUrl } from '../../upstream/base-url.ts';

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
  const models = upstream.models ?? (await askModels(baseUrl, secrets.upstreams[upstream.name]));
  const model = models[0] ?? 'MODEL';
  const rows = [
    `Upstream ${upstream.name} at ${parseBaseUrl(baseUrl).origin} ${describe(models)}. To send it the forty requests of the example:`,
    `  sed 's|example-model|${model}|' examples/first-batch.jsonl > first-batch.jsonl`,
    '  npm run -s nightshift -- submit first-batch.jsonl --wait',
  ];
  return `\n${rows.join('\n')}\n`;
}

function describe(models: readonly string[]): string {
  if (models.length === 0) return 'does not tell its models';
  return `serves ${models.slice(0, MODELS_SHOWN).join(', ')}${models.length > MODELS_SHOWN ? ` and ${models.length - MODELS_SHOWN} more` : ''}`;
}

/** The models that a server lists; none where it lists none, or is not there yet. */
async function askModels(baseUrl: string, credentials: Config['secrets']['upstreams'][string] | undefined): Promise<string[]> {
  const { origin, path, userinfo } = parseBaseUrl(baseUrl);
  const authorization =
    credentials?.apiKey != null
      ? `Bearer ${credentials.apiKey}`
      : userinfo === null
        ? null
        : `Basic ${Buffer.from(userinfo).toString('base64')}`;
  try {
    const answer = await fetch(origin + path('/v1/models'), {
      headers: { ...(authorization === null ? {} : { authorization }), ...credentials?.headers },
      signal: AbortSignal.timeout(PATIENCE_MS),
      redirect: 'manual',
    });
    const { data }: { data?: unknown } = Object(await answer.json());
    return Array.isArray(data) ? data.flatMap((each: unknown) => idOf(each)) : [];
  } catch {
    return [];
  }
}

/** Only names that can stand in a shell's quotes are shown. */
function idOf(model: unknown): string[] {
  const named = typeof model === 'object' && model !== null && 'id' in model ? model.id : null;
  return typeof named === 'string' && /^[\w./:@+-]+$/.test(named) ? [named] : [];
}

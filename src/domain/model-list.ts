import { isJsonRecord } from './json-type.ts';

/** What a server says about its models at `GET /v1/models`. */
export interface ModelList {
  /** Names and aliases, in the order of the server. */
  names: readonly string[];
  /** Whether the server refuses a model that is not in the list. */
  isComplete: boolean;
}

/** Which models upstreams have, as their servers list them. */
export interface ModelLists {
  /**
   * The models of an upstream, asked at most once a minute. Null where the lists do not tell: a server does not answer with a list, or
   * answers requests for other models too, or asking is switched off.
   */
  of(upstream: string): Promise<readonly string[] | null>;
}

/**
 * `owned_by` of software that answers requests for models which it does not list. llama.cpp, SGLang, KoboldCpp, TabbyAPI, LM Studio
 * (`organization_owner`) and the example upstream use the model that they have loaded. llama-swap leaves its aliases out.
 */
const ANSWERS_OTHERS: ReadonlySet<unknown> = new Set([
  'llamacpp',
  'sglang',
  'koboldcpp',
  'tabbyAPI',
  'organization_owner',
  'llama-swap',
  'nightshift',
]);
/** The `created` of every model of a LiteLLM proxy, which does not list what its patterns and its aliases of keys and teams match. */
const LITELLM_CREATED = 1_677_610_602;

/** Reads the answer of a server; null when it is no list, or an empty one. */
export function readModelList(text: string): ModelList | null {
  const answer = parsed(text);
  const data: unknown = isJsonRecord(answer) ? answer['data'] : answer;
  if (!Array.isArray(data)) return null;
  const models: Record<string, unknown>[] = data.filter(isJsonRecord);
  const names = [...new Set(models.flatMap(namesOf))];
  if (names.length === 0) return null;
  const isPage = isJsonRecord(answer) && (answer['has_more'] === true || Boolean(answer['next_page_token'] ?? answer['nextPageToken']));
  const isComplete = !isPage && !names.some((name) => name.includes('*')) && !models.some(answersOthers) && !models.every(isOfLiteLlm);
  return { names, isComplete };
}

/**
 * Says whether a list has a model, by the lenient rules of servers: the case of letters does not count, `name` is `name:latest`
 * (Ollama), `models/name` is `name` (Gemini), and a variant such as `name:free` is there with its `name` (OpenRouter, Hugging Face).
 */
export function createListCheck(names: readonly string[]): (model: string) => boolean {
  const listed = new Set(names.map(plainName));
  return (model) => {
    const name = plainName(model);
    const variant = name.lastIndexOf(':');
    return listed.has(name) || listed.has(`${name}:latest`) || (variant > 0 && listed.has(name.slice(0, variant)));
  };
}

function plainName(name: string): string {
  return name.toLowerCase().replace(/^models\//, '');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function namesOf({ id, aliases }: Record<string, unknown>): string[] {
  return [id, ...(Array.isArray(aliases) ? aliases : [])].filter((name) => typeof name === 'string' && name !== '');
}

function answersOthers({ id, owned_by, lifecycle_status }: Record<string, unknown>): boolean {
  // TGI owns its model by the model's own name. Azure lists base models, and requests name deployments.
  return ANSWERS_OTHERS.has(owned_by) || (typeof id === 'string' && owned_by === id) || lifecycle_status !== undefined;
}

function isOfLiteLlm({ created, owned_by }: Record<string, unknown>): boolean {
  return created === LITELLM_CREATED && owned_by === 'openai';
}

import type { Usage } from './batch.ts';
import { isJsonRecord } from './json-type.ts';

/** What a worker must know of the body of an answer. */
export interface InspectedAnswer {
  /** Whether it is one JSON object in valid UTF-8, byte order mark and whitespace around it allowed. Nothing else may become a result line. */
  isObject: boolean;
  /** The parsed object; null when it is none. */
  value: Record<string, unknown> | null;
  /** The tokens it reports; null when it reports none. */
  usage: Usage | null;
}

const NO_OBJECT: InspectedAnswer = { isObject: false, value: null, usage: null };
/** Drops one byte order mark and refuses invalid UTF-8, which would make a result file unreadable. */
const STRICT_UTF_8 = new TextDecoder('utf-8', { fatal: true });

/** Reads the body of an answer once. Never throws. */
export function inspectAnswer(body: Uint8Array): InspectedAnswer {
  let value: unknown;
  try {
    value = JSON.parse(STRICT_UTF_8.decode(body));
  } catch {
    return NO_OBJECT;
  }
  return isJsonRecord(value) ? { isObject: true, value, usage: readUsage(value) } : NO_OBJECT;
}

/** Whether bytes are one JSON object in valid UTF-8; see `inspectAnswer`. */
export function isJsonObject(body: Uint8Array): boolean {
  return inspectAnswer(body).isObject;
}

/** No request has more tokens than this; 50,000 times this is still an exact number. */
const MAX_TOKENS = 1e10;

/** The usage in a parsed answer of chat completions, completions, responses or embeddings; null when there is none. */
export function readUsage(answer: unknown): Usage | null {
  const usage = isJsonRecord(answer) ? answer['usage'] : null;
  if (!isJsonRecord(usage)) return null;
  const input = tokens(usage['prompt_tokens'] ?? usage['input_tokens']);
  const output = tokens(usage['completion_tokens'] ?? usage['output_tokens']);
  const inputDetails = usage['prompt_tokens_details'] ?? usage['input_tokens_details'];
  const outputDetails = usage['completion_tokens_details'] ?? usage['output_tokens_details'];
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: detail(inputDetails, 'cached_tokens') },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: detail(outputDetails, 'reasoning_tokens') },
    total_tokens: (usage['total_tokens'] ?? null) === null ? input + output : tokens(usage['total_tokens']),
  };
}

function detail(details: unknown, name: string): number {
  return isJsonRecord(details) ? tokens(details[name]) : 0;
}

/** A count of tokens; 0 for whatever cannot be one. */
function tokens(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_TOKENS ? value : 0;
}

import { numbers } from './behaviour.ts';

/** A request body, parsed: nothing in it can be relied on. */
export type RequestBody = Readonly<Record<string, unknown>>;

/** What was sent, when it is a JSON object; null for anything else. */
export function parseObject(bytes: Buffer): RequestBody | null {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}

/** What an answer is made from. The same request has the same answer, whenever it is asked. */
interface Asked {
  body: RequestBody;
  /** Of the body, as a number and as text. */
  hash: number;
  digest: string;
}

/** The endpoints and what each answers with status 200. */
export const ENDPOINTS: ReadonlyMap<string, (asked: Asked) => object> = new Map([
  ['/v1/chat/completions', chatCompletion],
  ['/v1/completions', completion],
  ['/v1/embeddings', embeddings],
  ['/v1/responses', response],
  ['/v1/moderations', moderation],
]);

/** The parameter error that a model server would find; null when it would answer. */
export function findParameterError(body: RequestBody): { message: string; param: string } | null {
  const { temperature } = body;
  if (typeof temperature === 'number' && temperature > 2) {
    return {
      message: `Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got ${temperature} instead.`,
      param: 'temperature',
    };
  }
  const messages: unknown[] = Array.isArray(body['messages']) ? body['messages'] : [];
  if (messages.some((message) => typeof member(message, 'content') === 'number')) {
    return { message: "Invalid type for 'messages[].content': expected a string or an array, but got a number.", param: 'messages' };
  }
  return null;
}

function chatCompletion(asked: Asked): object {
  const { body } = asked;
  const messages = Array.isArray(body['messages']) ? body['messages'] : [];
  const prompt = messages.map((message) => textOf(member(message, 'content'))).join('\n');
  const content = wantsJson(body)
    ? JSON.stringify({ answer: words(asked.hash, 6), score: (asked.hash % 1000) / 1000 })
    : reply(asked, textOf(member(messages.at(-1), 'content')));
  return {
    id: `chatcmpl-${asked.digest}`,
    object: 'chat.completion',
    created: createdAt(asked.hash),
    model: modelOf(body),
    choices: [{ index: 0, message: { role: 'assistant', content, refusal: null }, logprobs: null, finish_reason: 'stop' }],
    usage: {
      ...promptUsage(prompt, content),
      prompt_tokens_details: { cached_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0 },
    },
    system_fingerprint: 'fp_example',
  };
}

function completion(asked: Asked): object {
  const prompt = textOf(asked.body['prompt']);
  const text = reply(asked, prompt);
  return {
    id: `cmpl-${asked.digest}`,
    object: 'text_completion',
    created: createdAt(asked.hash),
    model: modelOf(asked.body),
    choices: [{ index: 0, text, logprobs: null, finish_reason: 'stop' }],
    usage: promptUsage(prompt, text),
  };
}

const DEFAULT_DIMENSIONS = 8;
const MAX_DIMENSIONS = 4096;

function embeddings({ body, hash }: Asked): object {
  const { input, dimensions, encoding_format: format } = body;
  // An array of numbers is one input (tokens), any other array one input per entry.
  const inputs: unknown[] = Array.isArray(input) && typeof input[0] !== 'number' ? input : [input];
  const length = typeof dimensions === 'number' ? Math.min(Math.max(1, Math.trunc(dimensions)), MAX_DIMENSIONS) : DEFAULT_DIMENSIONS;
  const data = inputs.map((_, index) => {
    const next = numbers(hash + index);
    const raw = Array.from({ length }, () => next() - 0.5);
    const norm = Math.hypot(...raw) || 1;
    const vector = raw.map((value) => Number((value / norm).toFixed(7)));
    const embedding = format === 'base64' ? Buffer.from(Float32Array.from(vector).buffer).toString('base64') : vector;
    return { object: 'embedding', index, embedding };
  });
  const tokens = inputs.reduce<number>((sum, one) => sum + (Array.isArray(one) ? one.length : countTokens(textOf(one))), 0);
  return { object: 'list', data, model: modelOf(body), usage: { prompt_tokens: tokens, total_tokens: tokens } };
}

function response(asked: Asked): object {
  const { body, digest, hash } = asked;
  const prompt = textOf(body['input']);
  const text = reply(asked, prompt);
  const usage = promptUsage(prompt, text);
  return {
    id: `resp_${digest}`,
    object: 'response',
    created_at: createdAt(hash),
    status: 'completed',
    error: null,
    incomplete_details: null,
    instructions: body['instructions'] ?? null,
    model: modelOf(body),
    output: [
      {
        id: `msg_${digest}`,
        type: 'message',
        status: 'completed',
        role: 'assistant',
        content: [{ type: 'output_text', text, annotations: [] }],
      },
    ],
    parallel_tool_calls: true,
    temperature: body['temperature'] ?? 1,
    tool_choice: body['tool_choice'] ?? 'auto',
    tools: body['tools'] ?? [],
    top_p: body['top_p'] ?? 1,
    usage: {
      input_tokens: usage.prompt_tokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: usage.completion_tokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: usage.total_tokens,
    },
    metadata: body['metadata'] ?? {},
  };
}

const CATEGORIES = ['harassment', 'hate', 'illicit', 'self-harm', 'sexual', 'violence'];

function moderation({ body, hash, digest }: Asked): object {
  const { input } = body;
  const inputs: unknown[] = Array.isArray(input) ? input : [input];
  const results = inputs.map((_, index) => {
    const next = numbers(hash + index);
    const scores = CATEGORIES.map((category) => [category, Number((next() * 0.2).toFixed(6))]);
    return {
      flagged: false,
      categories: Object.fromEntries(CATEGORIES.map((category) => [category, false])),
      category_scores: Object.fromEntries(scores),
    };
  });
  return { id: `modr-${digest}`, model: modelOf(body), results };
}

const QUOTED_CHARACTERS = 60;

/** Some sentences that take up what was asked. */
function reply({ hash }: Asked, prompt: string): string {
  const start = Array.from(prompt.slice(0, 2 * QUOTED_CHARACTERS))
    .slice(0, QUOTED_CHARACTERS)
    .join('')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return `You asked: "${start}". In short, ${words(hash, 8 + (hash % 12))}.`;
}

const WORDS =
  'the first result seems clear and a second look confirms it while most cases follow one simple rule that holds for small and large inputs alike so we keep what works'.split(
    ' ',
  );

function words(seed: number, count: number): string {
  const next = numbers(seed);
  return Array.from({ length: count }, () => WORDS[Math.trunc(next() * WORDS.length)]).join(' ');
}

function promptUsage(prompt: string, answer: string) {
  const [prompt_tokens, completion_tokens] = [countTokens(prompt), countTokens(answer)];
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

/** About four characters are a token. */
function countTokens(text: string): number {
  return Math.max(1, Math.ceil(text.length / 4));
}

/** All text in a prompt, whatever its shape: a string, content parts, messages. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(textOf).join(' ');
  return textOrEmpty(member(value, 'text') ?? member(value, 'content'));
}

function textOrEmpty(value: unknown): string {
  return value === undefined || value === null ? '' : textOf(value);
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function wantsJson(body: RequestBody): boolean {
  const type = member(body['response_format'], 'type');
  return type === 'json_object' || type === 'json_schema';
}

function modelOf(body: RequestBody): unknown {
  return body['model'] ?? 'example-model';
}

function createdAt(hash: number): number {
  return 1_750_000_000 + (hash % 10_000_000);
}

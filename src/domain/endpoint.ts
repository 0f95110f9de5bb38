/** What the lines of a batch for one endpoint must look like. */
export interface EndpointRules {
  /** The `/v1/...` path. */
  path: string;
  /** How messages call the endpoint. */
  title: string;
  /** The body member without which no request makes sense, besides `model`; null when we do not know. */
  required: { member: string; title: string } | null;
  /** Whether `stream: true` is refused, because an event stream cannot become a result line. */
  refusesStreaming: boolean;
}

const INPUT = { member: 'input', title: 'Input' } as const;

const RULES: readonly EndpointRules[] = [
  {
    path: '/v1/chat/completions',
    title: 'Chat Completions',
    required: { member: 'messages', title: 'Messages' },
    refusesStreaming: true,
  },
  {
    path: '/v1/completions',
    title: 'Completions',
    required: { member: 'prompt', title: 'Prompt' },
    refusesStreaming: true,
  },
  { path: '/v1/embeddings', title: 'Embeddings', required: INPUT, refusesStreaming: false },
  { path: '/v1/responses', title: 'Responses', required: INPUT, refusesStreaming: true },
  { path: '/v1/moderations', title: 'Moderations', required: INPUT, refusesStreaming: true },
];

/** Endpoints a batch may have unless the configuration says otherwise. */
export const DEFAULT_ENDPOINTS: readonly string[] = RULES.map((rules) => rules.path);

/** The rules of an endpoint; for one that is configured but not known here, nothing but `model` is required. */
export function endpointRules(path: string): EndpointRules {
  return RULES.find((rules) => rules.path === path) ?? { path, title: path, required: null, refusesStreaming: true };
}

/** What the lines of a batch for one endpoint must look like. */
export interface EndpointRules {
  /** The `/v1/...` path. */
  path: string;
  /** How messages call the endpoint. */
  title: string;
  /** The body member without which no request makes sense, besides `model`; null when we do not know. */
  required: { member: string; title: string } | null;
}

const INPUT = { member: 'input', title: 'Input' } as const;

const RULES: readonly EndpointRules[] = [
  { path: '/v1/chat/completions', title: 'Chat Completions', required: { member: 'messages', title: 'Messages' } },
  { path: '/v1/completions', title: 'Completions', required: { member: 'prompt', title: 'Prompt' } },
  { path: '/v1/embeddings', title: 'Embeddings', required: INPUT },
  { path: '/v1/responses', title: 'Responses', required: INPUT },
  { path: '/v1/moderations', title: 'Moderations', required: INPUT },
];

/** Endpoints a batch may have unless the configuration says otherwise. */
export const DEFAULT_ENDPOINTS: readonly string[] = RULES.map((rules) => rules.path);

/** The rules of an endpoint; for one that is configured but not known here, nothing but `model` is required. */
export function endpointRules(path: string): EndpointRules {
  return RULES.find((rules) => rules.path === path) ?? { path, title: path, required: null };
}

/** What the lines of a batch for one endpoint must look like. */
export interface EndpointRules {
  /** Path from the origin, such as `/v1/chat/completions`. */
  path: string;
  /** How messages call the endpoint. */
  title: string;
  /** Whether a line must name a model. Elsewhere a line without one goes to the upstream that serves every model. */
  needsModel: boolean;
  /** A body must have at least one of these members; the first is the usual one. Empty when we do not know the endpoint. */
  oneOf: readonly string[];
}

const RULES: readonly EndpointRules[] = [
  { path: '/v1/chat/completions', title: 'Chat Completions', needsModel: true, oneOf: ['messages'] },
  { path: '/v1/completions', title: 'Completions', needsModel: true, oneOf: ['prompt', 'prompt_embeds'] },
  // Multimodal embedding models take a conversation.
  { path: '/v1/embeddings', title: 'Embeddings', needsModel: true, oneOf: ['input', 'messages'] },
  // A stored prompt brings its input and its model with it.
  { path: '/v1/responses', title: 'Responses', needsModel: false, oneOf: ['input', 'prompt', 'previous_response_id', 'conversation'] },
  { path: '/v1/moderations', title: 'Moderations', needsModel: false, oneOf: ['input'] },
];

/** Endpoints a batch may have unless the configuration says otherwise. */
export const DEFAULT_ENDPOINTS: readonly string[] = RULES.map((rules) => rules.path);

/** The rules of an endpoint. One that is configured but not known here requires nothing of a body. */
export function endpointRules(path: string): EndpointRules {
  return RULES.find((rules) => rules.path === path) ?? { path, title: path, needsModel: false, oneOf: [] };
}

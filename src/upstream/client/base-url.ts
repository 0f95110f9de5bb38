/** A base URL taken apart: where to connect, how paths begin, and the credentials it carried (never sent as part of a URL). */
export interface BaseUrl {
  /** Scheme, host and port. */
  origin: string;
  /** The path and query of an endpoint such as `/v1/chat/completions` or `/rerank` on this server. */
  readonly path: (endpoint: string) => string;
  /** `user:password` of the URL; null when it has none. */
  userinfo: string | null;
}

/** Hosts that document their bare origin as the base URL and serve nothing below `/v1` there. */
const UNVERSIONED_HOSTS: ReadonlySet<string> = new Set(['api.perplexity.ai']);

/**
 * Reads a base URL as the SDKs of OpenAI do: an endpoint joins it without its leading `/v1`, and its query stays. Two things differ.
 * A bare origin gets `/v1`, because model servers print their address that way. Endpoints outside `/v1` join the origin, because model
 * servers serve `/rerank`, `/score` and `/tokenize` there. Throws on what is no http(s) URL.
 */
export function parseBaseUrl(text: string): BaseUrl {
  // The text is not repeated in the message: it may hold a password.
  if (!URL.canParse(text)) throw new Error('the base URL of an upstream is not a URL');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new Error('the base URL of an upstream must begin with http:// or https://');
  const isBare = /^\/*$/.test(url.pathname);
  const prefix = isBare && !UNVERSIONED_HOSTS.has(url.hostname) ? '/v1' : url.pathname.replace(/\/+$/, '');
  const userinfo =
    url.username === '' && url.password === '' ? null : `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const path = (endpoint: string) => (endpoint.startsWith('/v1/') ? prefix + endpoint.slice('/v1'.length) : endpoint) + url.search;
  return { origin: url.origin, path, userinfo };
}

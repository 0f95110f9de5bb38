/** A base URL taken apart: where to connect, how paths begin, and the credentials it carried (never sent as part of a URL). */
export interface BaseUrl {
  /** Scheme, host and port. */
  origin: string;
  /** The path of an endpoint such as `/v1/chat/completions` on this server. */
  readonly path: (endpoint: string) => string;
  /** `user:password` of the URL; null when it has none. */
  userinfo: string | null;
}

/** Reads a base URL that may or may not end in `/v1`; any other path prefix and a query are kept. Throws on what is no http(s) URL. */
export function parseBaseUrl(text: string): BaseUrl {
  // The text is not repeated in the message: it may hold a password.
  if (!URL.canParse(text)) throw new Error('the base URL of an upstream is not a URL');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new Error('the base URL of an upstream must begin with http:// or https://');
  const prefix = url.pathname.replace(/\/+$/, '').replace(/\/v1$/, '');
  const userinfo =
    url.username === '' && url.password === '' ? null : `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { origin: url.origin, path: (endpoint) => `${prefix}${endpoint}${url.search}`, userinfo };
}

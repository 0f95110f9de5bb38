/** What settings may hold that is sent to a server, and how it may be shown. */

/** Whether it can be connected to, and its user and password, if it has them, can be read. */
export function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) return false;
  try {
    decodeURIComponent(url.username + url.password);
    return true;
  } catch {
    return false;
  }
}

/** Whether a URL is scheme, host and port, and nothing that a client of an S3 store would leave out. */
export function isPlainOrigin(text: string): boolean {
  const url = URL.parse(text);
  return (
    url !== null && /^\/*$/.test(url.pathname) && `${url.username}${url.password}${url.search}${url.hash}` === '' && !/[?#@]/.test(text)
  );
}

/** A URL, or what was meant as one, without user, password and query. */
export function withoutCredentials(text: string): string {
  return text.replace(/^(\w+:\/\/)?.*@/s, '$1***@').replace(/\?.*$/s, '?***');
}

/** Whether a host is this machine's own, so that nobody else can connect to it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Whether a key can be sent in a header. */
export function isSecret(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}

/** Whether HTTP lets a header have this value. */
export function isHeaderValue(text: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
}

/** Headers that belong to the connection: whoever sends a request sets them. */
export const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Whether a base URL goes on to one endpoint, as some consoles show it: then every request would ask for the endpoint twice. */
export function namesEndpoint(text: string): boolean {
  return /\/(?:chat\/completions|completions|embeddings|responses|moderations)\/*$/.test(URL.parse(text)?.pathname ?? '');
}

/** What `namesEndpoint` finds, for an operator. */
export const NAMES_ENDPOINT = 'must end before the endpoint: remove /chat/completions or what else names one';

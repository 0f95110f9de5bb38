/** What is sent with every request to a server, to be let in. */
export interface ServerCredentials {
  /** Sent as `Authorization: Bearer`; null sends none. */
  apiKey: string | null;
  /** An `authorization` here goes before the key. */
  headers: Readonly<Record<string, string>>;
}

/** The headers of every request to a server, in lower case. `userinfo` is `user:password` of its base URL; the key goes before it. */
export function serverHeaders({ apiKey, headers: configured }: ServerCredentials, userinfo: string | null): Record<string, string> {
  const headers: Record<string, string> = { accept: 'application/json', 'user-agent': 'nightshift' };
  if (userinfo !== null) headers['authorization'] = `Basic ${Buffer.from(userinfo).toString('base64')}`;
  if (apiKey !== null) headers['authorization'] = `Bearer ${apiKey}`;
  for (const [name, value] of Object.entries(configured)) headers[name.toLowerCase()] = value;
  // The answer is wanted as it is, whatever is configured.
  headers['accept-encoding'] = 'identity';
  return headers;
}

/** Names of headers that let somebody in; others, such as an organisation, may be shown. */
const SECRET_HEADER = /authorization|cookie|key|token|secret|password/i;

/**
 * Replaces every occurrence of configured credentials by `***`: some servers repeat the key they refuse. Bytes without one
 * come back as they are.
 */
export function createRedaction({
  apiKey,
  headers,
  userinfos,
}: {
  apiKey: string | null;
  headers: Readonly<Record<string, string>>;
  /** `user:password` of base URLs. */
  userinfos: readonly string[];
}): (body: Buffer) => Buffer {
  const plain = new Set<string>();
  if (apiKey !== null) plain.add(apiKey);
  for (const [name, value] of Object.entries(headers)) {
    // The scheme (`Bearer …`) is no secret, and a server may repeat the key without it.
    if (SECRET_HEADER.test(name)) plain.add(value.trim().replace(/^\S+\s+/, ''));
  }
  for (const userinfo of userinfos) {
    plain.add(userinfo.slice(userinfo.indexOf(':') + 1));
    plain.add(Buffer.from(userinfo).toString('base64'));
  }
  // Inside a JSON string a key may stand escaped.
  const written = new Set([...plain].flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]));
  written.delete('');
  const secrets = [...written].toSorted((a, b) => b.length - a.length).map((secret) => Buffer.from(secret));
  return (body) => secrets.reduce(replaceAll, body);
}

const STARS = Buffer.from('***');

function replaceAll(body: Buffer, secret: Buffer): Buffer {
  let found = body.indexOf(secret);
  if (found === -1) return body;
  const kept: Buffer[] = [];
  let from = 0;
  for (; found !== -1; found = body.indexOf(secret, from)) {
    kept.push(body.subarray(from, found), STARS);
    from = found + secret.length;
  }
  kept.push(body.subarray(from));
  return Buffer.concat(kept);
}

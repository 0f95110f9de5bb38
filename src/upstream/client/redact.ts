import { parseBaseUrl } from './base-url.ts';

/** Names of headers, and of parameters of a base URL, that let a client in; others, such as an organisation, may be shown. */
const SECRET_NAME = /authorization|cookie|key|token|secret|password|^code$|^sig/i;

/**
 * Values that stand where a server wants some key and checks none. They are words that an answer may well hold, and the bytes of a
 * successful answer pass unchanged.
 */
const PLACEHOLDERS: ReadonlySet<string> = new Set([
  'lm-studio',
  'no-api-key',
  'no-key-required',
  'not-needed',
  'not-required',
  'sk-no-key-required',
]);
/** Shorter ones (`EMPTY`, `none`, `ollama`) are placeholders too. */
const SHORTEST_KEY = 8;

/**
 * Replaces every occurrence of configured credentials by `***`: some servers repeat the key they refuse, and some gateways repeat
 * the request in their answers. Bytes without one come back as they are. In a successful answer a value that is plainly no
 * secret (`PLACEHOLDERS`, less than 8 characters, digits only) stays, because it would change what a model said.
 */
export type Redaction = (body: Buffer, isSuccess: boolean) => Buffer;

/** What one upstream is given and may repeat. */
export interface Credentials {
  apiKey: string | null;
  headers: Readonly<Record<string, string>>;
  /** Base URLs and those of proxies. */
  urls: readonly string[];
}

export function createRedaction(credentials: Credentials): Redaction {
  const secrets = secretsOf(credentials);
  const all = toBytes(secrets);
  const certain = toBytes(secrets.filter((secret) => !isPlaceholder(secret)));
  return (body, isSuccess) => (isSuccess ? certain : all).reduce(replaceAll, body);
}

function secretsOf({ apiKey, headers, urls }: Credentials): string[] {
  const secrets: string[] = [];
  if (apiKey !== null) secrets.push(apiKey);
  for (const [name, value] of Object.entries(headers)) {
    // The scheme (`Bearer …`) is no secret, and a server may repeat the key without it.
    if (SECRET_NAME.test(name)) secrets.push(value.trim().replace(/^\S+\s+/, ''));
  }
  for (const text of urls) {
    const { userinfo } = parseBaseUrl(text);
    if (userinfo !== null) secrets.push(userinfo.slice(userinfo.indexOf(':') + 1), Buffer.from(userinfo).toString('base64'));
    for (const [name, value] of new URL(text).searchParams) if (SECRET_NAME.test(name)) secrets.push(value);
  }
  return [...new Set(secrets)].filter((secret) => secret !== '');
}

function isPlaceholder(secret: string): boolean {
  return secret.length < SHORTEST_KEY || PLACEHOLDERS.has(secret.toLowerCase()) || /^\d+$/.test(secret);
}

/** Every form in which servers write the secrets, the longest first, so that no form is left of one that holds another. */
function toBytes(secrets: readonly string[]): Buffer[] {
  const forms = new Set(secrets.flatMap(formsOf));
  return [...forms].toSorted((a, b) => b.length - a.length).map((form) => Buffer.from(form));
}

/** Plain, in a JSON string as different libraries escape it, in a URL, in HTML and in base64. */
function formsOf(secret: string): string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  const unicode = (hex: (code: string) => string) =>
    json.replace(/[&<>'+`\u007f-\uffff]/g, (char) => `\\u${hex(char.charCodeAt(0).toString(16)).padStart(4, '0')}`);
  const html = secret.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
  const forms = [secret, json, json.replaceAll('/', '\\/'), unicode((hex) => hex), unicode((hex) => hex.toUpperCase()), html];
  return [...forms, ...urlForms(secret), ...(secret.length < SHORTEST_KEY ? [] : base64Forms(secret))];
}

/** With upper and lower case digits after `%`. */
function urlForms(secret: string): string[] {
  const encoded = encodeURIComponent(secret.toWellFormed());
  return [encoded, encoded.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase())];
}

/** In both alphabets: the secret alone, and what stands for it wherever it begins in a longer text, such as a header or a JSON object. */
function base64Forms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const within = [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    // Characters that also hold bits of what stands before and after it differ from text to text.
    return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
  });
  return [bytes.toString('base64'), ...within].flatMap((form) => [form, form.replaceAll('+', '-').replaceAll('/', '_')]);
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

import { createReadStream } from 'node:fs';
import { CommandError } from './command-error.ts';
import type { OpenInput } from './open-input.ts';
import { quoted } from './terminal-text.ts';
import { createLineSplitter, type InputLine } from '../domain/jsonl.ts';

const EXPECTED = 'A batch file has one JSON request per line, in UTF-8: {"custom_id": …, "method": "POST", "url": "/v1/…", "body": {…}}.';
/** Longest first line that is looked at; the API decides about longer ones. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;

/**
 * The `url` of the first request, which is the endpoint of the batch. Throws when the file cannot be a batch file, and says what
 * it looks like instead.
 */
export async function firstUrl(input: OpenInput): Promise<string> {
  return urlOf(await firstLine(input.bytes === 0 ? [] : createReadStream(input.path)), input.name);
}

/** The first line with a request; null when there is none. Stops reading there. */
export async function firstLine(content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<InputLine | null> {
  const splitter = createLineSplitter({ maxLineBytes: MAX_LINE_BYTES });
  for await (const chunk of content) {
    const [found] = splitter.push(chunk);
    if (found !== undefined) return found;
  }
  return splitter.end()[0] ?? null;
}

/** What the first line says, or a message about what is wrong with the file. */
export function urlOf(first: InputLine | null, name: string): string {
  if (first === null) throw new CommandError(`${name} is empty. ${EXPECTED}`);
  if (first.bytes === null) throw new CommandError(`Line ${first.line} of ${name} is too long to look for its url: give --endpoint.`);
  const text = decode(first.bytes, name);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CommandError(describeNoJson(text, first.line, name), { cause: error });
  }
  const place = `Line ${first.line} of ${name}`;
  if (Array.isArray(value)) throw new CommandError(`${name} holds a JSON array. ${fromArray(name)} ${EXPECTED}`);
  if (typeof value !== 'object' || value === null) throw new CommandError(`${place} is ${quoted(text)}, which is no request. ${EXPECTED}`);
  const { url }: { url?: unknown } = value;
  if (typeof url === 'string') return url;
  if (url !== undefined && url !== null)
    throw new CommandError(`${place} has a "url" that is no string: ${quoted(JSON.stringify(url))}. ${EXPECTED}`);
  const isBody = 'messages' in value || 'model' in value || 'input' in value || 'prompt' in value;
  const hint = isBody ? ' It looks like the body alone: put it into the "body" of a request.' : '';
  throw new CommandError(`${place} has no "url".${hint} ${EXPECTED}`);
}

function decode(bytes: Uint8Array, name: string): string {
  const [first, second] = bytes;
  const isUtf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff) || bytes.subarray(0, 64).includes(0);
  if (isUtf16) {
    throw new CommandError(
      `${name} is UTF-16 or binary, but a batch file must be UTF-8. To convert it: iconv -f UTF-16 -t UTF-8 ${name} > utf8.jsonl`,
    );
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new CommandError(`${name} is not UTF-8. ${EXPECTED}`, { cause: error });
  }
}

function describeNoJson(text: string, line: number, name: string): string {
  const start = text.trim();
  if (start.startsWith('[')) return `${name} begins with "[", so it is a JSON array over several lines. ${fromArray(name)} ${EXPECTED}`;
  if (start.startsWith('{') && !start.endsWith('}'))
    return `Line ${line} of ${name} begins a JSON object and does not end it: ${quoted(start)}. Put each object on one line: jq -c . ${name} > lines.jsonl`;
  return `Line ${line} of ${name} is no JSON: ${quoted(start)}. ${EXPECTED}`;
}

function fromArray(name: string): string {
  return `To make one line of each element: jq -c '.[]' ${name} > lines.jsonl`;
}

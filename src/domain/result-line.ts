/**
 * The lines of output and error files, as bytes without the line break. Bodies go through as they came, except for what
 * would break a line for some reader (docs/contract.md, "Result lines").
 */

/** An HTTP answer, good or bad. `body` must be a JSON object by `inspectAnswer`, or come from `wrapNonJson`. */
export function answeredLine(given: { id: string; customId: string; status: number; requestId: string; body: Uint8Array }): Buffer {
  const head = `${opening(given)},"response":{"status_code":${given.status},"request_id":${quoted(given.requestId)},"body":`;
  const body = oneLine(trimmed(given.body));
  const headBytes = Buffer.byteLength(head);
  const line = Buffer.allocUnsafe(headBytes + body.length + TAIL.length);
  line.write(head);
  line.set(body, headBytes);
  line.set(TAIL, headBytes + body.length);
  return line;
}

const TAIL = Buffer.from('},"error":null}');

/** A request that ended without an HTTP answer. */
export function erroredLine(given: { id: string; customId: string; code: string; message: string }): Buffer {
  const error = `{"code":${quoted(given.code)},"message":${quoted(given.message)}}`;
  return Buffer.from(`${opening(given)},"response":null,"error":${error}}`);
}

const NOT_RUN = {
  batch_cancelled: 'This request was not executed because the batch was cancelled.',
  batch_expired: 'This request could not be executed before the completion window expired.',
} as const;
/** Why a request of an accepted batch was never executed: codes of the wire. */
export type NotRunReason = keyof typeof NOT_RUN;

/** A request that was not executed before its batch ended. */
export function notRunLine(given: { id: string; customId: string; reason: NotRunReason }): Buffer {
  return erroredLine({ ...given, code: given.reason, message: NOT_RUN[given.reason] });
}

/** Most characters of an answer's text that an error shows. */
const WRAPPED_MAX_CHARACTERS = 2000;

/** The body of a result line for an answer (not 2xx) whose own body is no JSON object. */
export function wrapNonJson(text: string): Buffer {
  // Cut by UTF-16 units first: the text may be an upstream's whole web page.
  const characters = Array.from(text.slice(0, 2 * WRAPPED_MAX_CHARACTERS))
    .slice(0, WRAPPED_MAX_CHARACTERS)
    .join('');
  const message = characters.trim() === '' ? 'The upstream answered with an empty body.' : characters;
  return Buffer.from(`{"error":{"message":${quoted(message)},"type":"upstream_error","param":null,"code":null}}`);
}

/** What stands in a result line before the answer's body. */
export interface ResultLineHead {
  id: string;
  customId: string;
  status: number | null;
  requestId: string | null;
  /** Where the JSON of the body begins, or of the error if there is no answer. */
  valueStart: number;
  /** Where the bytes after the custom_id begin. */
  restStart: number;
}

/** A custom_id has at most 512 characters, so the beginning is never longer. */
export const RESULT_HEAD_BYTES = 16 * 1024;
const STRING = /"(?:[^"\\]|\\.)*"/.source;
const HEAD = new RegExp(
  `^\\{"id":(${STRING}),"custom_id":(${STRING}),"response":(?:\\{"status_code":(\\d+),"request_id":(${STRING}),"body":|null,"error":)`,
  's',
);

/** Reads the beginning of a result line that this file has written; the rest may be missing. Throws for any other text. */
export function readResultLineHead(bytes: Uint8Array): ResultLineHead {
  // One character per byte, so that places in the text are places in the bytes.
  const [whole, id, customId, status, requestId] =
    HEAD.exec(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1', 0, RESULT_HEAD_BYTES)) ?? [];
  if (whole === undefined || id === undefined || customId === undefined) throw new Error('not the beginning of a result line');
  const parse = (json: string): string => JSON.parse(Buffer.from(json, 'latin1').toString());
  return {
    id: parse(id),
    customId: parse(customId),
    status: status === undefined ? null : Number(status),
    requestId: requestId === undefined ? null : parse(requestId),
    valueStart: whole.length,
    restStart: '{"id":,"custom_id":'.length + id.length + customId.length,
  };
}

/** The result line of a request that gets the answer of an equal one. */
export function copiedLine(line: Uint8Array, given: { id: string; customId: string }): Buffer {
  return Buffer.concat([Buffer.from(opening(given)), line.subarray(readResultLineHead(line).restStart)]);
}

/** The JSON of the body of a whole result line, or of its error if it has no answer. */
export function resultLineValue(line: Uint8Array, { status, valueStart }: ResultLineHead): Uint8Array {
  return line.subarray(valueStart, line.length - (status === null ? 1 : TAIL.length));
}

function opening({ id, customId }: { id: string; customId: string }): string {
  return `{"id":${quoted(id)},"custom_id":${quoted(customId)}`;
}

const SEPARATOR = /[\u0085\u2028\u2029]/;
const SEPARATORS = new RegExp(SEPARATOR, 'g');

/** A JSON string without anything that a reader could take for a line break; lone surrogates are escaped by `JSON.stringify`. */
function quoted(text: string): string {
  const json = JSON.stringify(text);
  if (!SEPARATOR.test(json)) return json;
  return json.replaceAll(SEPARATORS, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A JSON document without byte order mark and whitespace around it. */
function trimmed(json: Uint8Array): Uint8Array {
  let start = json[0] === 0xef && json[1] === 0xbb && json[2] === 0xbf ? 3 : 0;
  let end = json.length;
  while (start < end && isWhitespace(json[start])) start++;
  while (end > start && isWhitespace(json[end - 1])) end--;
  return json.subarray(start, end);
}

function isWhitespace(byte: number | undefined): boolean {
  return byte === 32 || byte === 10 || byte === 13 || byte === 9;
}

/**
 * Valid JSON on one line for every reader: raw CR and LF, which stand between tokens only, become spaces; U+0085 (C2 85),
 * U+2028 (E2 80 A8) and U+2029 (E2 80 A9), which stand in strings only, become escapes. Answers the same bytes when there are none.
 */
function oneLine(json: Uint8Array): Uint8Array {
  const growth = escapeGrowth(json);
  if (growth === 0 && !json.includes(10) && !json.includes(13)) return json;
  const line = new Uint8Array(json.length + growth);
  let to = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] ?? 0;
    const escape = byte === 0xc2 || byte === 0xe2 ? separatorAt(json, at) : null;
    if (escape === null) {
      line[to++] = byte === 10 || byte === 13 ? 32 : byte;
    } else {
      line.set(escape, to);
      to += escape.length;
      at += byte === 0xc2 ? 1 : 2;
    }
  }
  return line;
}

/** How many bytes escaping adds. */
function escapeGrowth(json: Uint8Array): number {
  let growth = 0;
  for (let at = json.indexOf(0xc2); at !== -1; at = json.indexOf(0xc2, at + 1)) {
    if (separatorAt(json, at) !== null) growth += NEL.length - 2;
  }
  for (let at = json.indexOf(0xe2); at !== -1; at = json.indexOf(0xe2, at + 1)) {
    if (separatorAt(json, at) !== null) growth += LS.length - 3;
  }
  return growth;
}

const NEL = Buffer.from('\\u0085');
const LS = Buffer.from('\\u2028');
const PS = Buffer.from('\\u2029');

/** The escape of the separator that begins at a byte C2 or E2; null when another character does. */
function separatorAt(json: Uint8Array, at: number): Uint8Array | null {
  if (json[at] === 0xc2) return json[at + 1] === 0x85 ? NEL : null;
  if (json[at + 1] !== 0x80) return null;
  if (json[at + 2] === 0xa8) return LS;
  return json[at + 2] === 0xa9 ? PS : null;
}

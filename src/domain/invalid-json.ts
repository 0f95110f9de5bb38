import { createJsonCheck } from './json-check.ts';
import { shownText } from './shown-text.ts';

const OPEN_BRACKET = 0x5b;
const SHOWN_LENGTH = 20;
/** How compressed files begin. */
const COMPRESSED = [
  { name: 'gzip', begins: [0x1f, 0x8b] },
  { name: 'zip', begins: [0x50, 0x4b, 0x03, 0x04] },
  { name: 'zstd', begins: [0x28, 0xb5, 0x2f, 0xfd] },
] as const;
const NAMES = new Map([
  [0x09, ', a tab'],
  [0x0d, ', a carriage return'],
  [0xa0, ', a no-break space'],
  [0xfeff, ', a byte order mark'],
]);
const STEP = 64 * 1024;
const UTF_8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Says in a sentence why these bytes, which `JSON.parse` refuses, are not JSON in UTF-8, and where. */
export function explainInvalidJson(bytes: Uint8Array): string {
  const compressed = COMPRESSED.find(({ begins }) => begins.every((byte, at) => bytes[at] === byte));
  if (compressed !== undefined) return `The file is compressed with ${compressed.name}. Decompress it before the upload.`;
  if (isUtf16(bytes)) return 'The file is encoded in UTF-16. Save it as UTF-8.';
  const json = createJsonCheck();
  const wrong = firstInvalidUtf8(bytes);
  if (wrong !== null) return `Byte ${wrong + 1} of the line is not valid UTF-8. Save the file as UTF-8.`;
  if (json.push(bytes, 0, bytes.length)) return endsEarly(bytes[0]);
  const after = UTF_8.decode(bytes.subarray(json.taken, json.taken + 4 * SHOWN_LENGTH));
  return `Column ${codePointsIn(bytes.subarray(0, json.taken)) + 1} has an unexpected ${describeToken(after)}.`;
}

/** Code points of valid UTF-8: all bytes but those that continue one. */
function codePointsIn(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if ((byte & 0xc0) !== 0x80) count++;
  return count;
}

/** The beginning of a text in quotes, or the name of a character that quotes would not show. */
function describeToken(text: string): string {
  const character = text.codePointAt(0) ?? 0;
  if (!/^[\p{C}\p{Z}]/u.test(text)) return `'${shownText(text, SHOWN_LENGTH)}'`;
  const code = character.toString(16).toUpperCase().padStart(4, '0');
  // White space between tokens is no fault: a control character that JSON refuses is one inside a string.
  const advice = character < 0x20 ? ` (write \\u${code.toLowerCase()} inside a string)` : '';
  return `U+${code}${NAMES.get(character) ?? ''}${advice}`;
}

/** Says why a line is refused that ends inside its JSON, by its first byte. */
export function endsEarly(firstByte: number | undefined): string {
  const how = firstByte === OPEN_BRACKET ? 'It begins with "[", but a JSON array is not JSONL' : 'It ends before its JSON is complete';
  return `${how}. Each line must hold one whole JSON object.`;
}

/** By its byte order mark, or by the zero that every second byte of ASCII is then. */
function isUtf16(bytes: Uint8Array): boolean {
  const [first, second] = bytes;
  return (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff) || first === 0 || second === 0;
}

function firstInvalidUtf8(bytes: Uint8Array): number | null {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  // By pieces and then by bytes, because the decoder does not tell where it failed.
  for (let at = 0; at < bytes.length; at += STEP) {
    if (!fails(decoder, bytes.subarray(at, at + STEP))) continue;
    const careful = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    for (let byte = characterStart(bytes, at); byte < bytes.length; byte++)
      if (fails(careful, bytes.subarray(byte, byte + 1))) return cutCharacterStart(bytes, byte);
    return cutCharacterStart(bytes, bytes.length);
  }
  return fails(decoder, null) ? cutCharacterStart(bytes, bytes.length) : null;
}

/** Where the character begins that is not complete before `end`; `end` if there is none. */
export function cutCharacterStart(bytes: Uint8Array, end: number): number {
  for (let back = 1; back <= 3 && back <= end; back++) {
    const byte = bytes[end - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf8 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? end - back : end;
  }
  return end;
}

/** Where the character begins that the byte at `at` is part of. */
function characterStart(bytes: Uint8Array, at: number): number {
  let start = at;
  while (start > 0 && at - start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start--;
  return start;
}

function fails(decoder: InstanceType<typeof TextDecoder>, bytes: Uint8Array | null): boolean {
  try {
    if (bytes === null) decoder.decode();
    else decoder.decode(bytes, { stream: true });
    return false;
  } catch {
    return true;
  }
}

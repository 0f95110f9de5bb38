/**
 * Finds members of a JSON object by their bytes, so that they can be passed on exactly as they were written. The input
 * must be valid JSON already; nothing here is recursive, so depth does not matter.
 */

/** From `start` up to but without `end`, whitespace around the value excluded. */
export interface MemberRange {
  start: number;
  end: number;
}

const UTF_8 = new TextDecoder();
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET, COMMA] = [0x7b, 0x7d, 0x5b, 0x5d, 0x2c];

/**
 * Where the values of top-level members stand; null for one that is not there. As with JSON.parse the last of several wins. `names` are
 * ASCII.
 */
export function memberRanges(json: Uint8Array, names: readonly string[]): (MemberRange | null)[] {
  const found: (MemberRange | null)[] = names.map(() => null);
  eachMember(json, names, (member, range) => {
    if (member !== -1) found[member] = range;
  });
  return found;
}

/**
 * Visits the values of all top-level members in order, with the index of the member's name in `names`, -1 for another name, and where the name
 * stands, quotes included. Answers where a further member would begin: after the last value, or after the opening brace; null where the JSON is
 * no object.
 */
export function eachMember(
  json: Uint8Array,
  names: readonly string[],
  visit: (name: number, range: MemberRange, key: MemberRange) => void,
): number | null {
  let at = skipWhitespace(json, 0);
  if (json[at] !== OPEN_BRACE) return null;
  let last = at + 1;
  at = skipWhitespace(json, last);
  while (at < json.length && json[at] !== CLOSE_BRACE) {
    const keyEnd = endOfString(json, at);
    const name = names.findIndex((each) => isKey(json, at + 1, keyEnd - 1, each));
    // After the key comes a colon, with or without whitespace around it.
    const start = skipWhitespace(json, skipWhitespace(json, keyEnd) + 1);
    last = endOfValue(json, start);
    visit(name, { start, end: last }, { start: at, end: keyEnd });
    at = skipWhitespace(json, last);
    if (json[at] === COMMA) at = skipWhitespace(json, at + 1);
  }
  return last;
}

/** Visits the elements of a JSON array in order, and nothing where the JSON is another value. */
export function eachElement(json: Uint8Array, visit: (range: MemberRange) => void): void {
  let at = skipWhitespace(json, 0);
  if (json[at] !== OPEN_BRACKET) return;
  at = skipWhitespace(json, at + 1);
  while (at < json.length && json[at] !== CLOSE_BRACKET) {
    const end = endOfValue(json, at);
    visit({ start: at, end });
    at = skipWhitespace(json, end);
    if (json[at] === COMMA) at = skipWhitespace(json, at + 1);
  }
}

function endOfValue(json: Uint8Array, start: number): number {
  const first = json[start];
  if (first === QUOTE) return endOfString(json, start);
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return endOfContainer(json, start);
  let at = start;
  while (at < json.length && !endsLiteral(json[at])) at++;
  return at;
}

function endsLiteral(byte: number | undefined): boolean {
  return byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || isWhitespace(byte);
}

function endOfContainer(json: Uint8Array, start: number): number {
  let depth = 0;
  let at = start;
  while (at < json.length) {
    const byte = json[at];
    if (byte === QUOTE) {
      at = endOfString(json, at);
      continue;
    }
    at++;
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth--;
      if (depth === 0) return at;
    }
  }
  return at;
}

/** The position after the closing quote of the string that opens at `open`. */
export function endOfString(json: Uint8Array, open: number): number {
  let at = open;
  for (;;) {
    at = json.indexOf(QUOTE, at + 1);
    if (at === -1) return json.length;
    // A quote ends the string unless an odd number of backslashes stands before it.
    let before = at - 1;
    while (before > open && json[before] === BACKSLASH) before--;
    if ((at - 1 - before) % 2 === 0) return at + 1;
  }
}

function isKey(json: Uint8Array, start: number, end: number, name: string): boolean {
  let isSame = end - start === name.length;
  for (let at = start; at < end; at++) {
    // Decoded with its quotes, because the decoder would drop a byte order mark at the very start.
    if (json[at] === BACKSLASH) return JSON.parse(UTF_8.decode(json.subarray(start - 1, end + 1))) === name;
    isSame &&= json[at] === name.charCodeAt(at - start);
  }
  return isSame;
}

export function skipWhitespace(json: Uint8Array, start: number): number {
  let at = start;
  while (isWhitespace(json[at])) at++;
  return at;
}

function isWhitespace(byte: number | undefined): boolean {
  return byte === 32 || byte === 10 || byte === 13 || byte === 9;
}

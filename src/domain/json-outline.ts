import { createJsonCheck } from './json-check.ts';
import { eachElement, eachMember, type MemberRange } from './json-scan.ts';

/** A value of so many bytes is parsed; a longer one gets a stand-in. */
const SHORT_BYTES = 4096;
/** Members whose names are not asked for are kept up to this number, for advice about misspelt ones. */
const MOST_OTHERS = 100;

const UTF_8 = new TextDecoder('utf-8', { ignoreBOM: true });
const [QUOTE, BACKSLASH, OPEN_BRACE, OPEN_BRACKET, LOWER_U, LOWER_D] = [0x22, 0x5c, 0x7b, 0x5b, 0x75, 0x64];
/** Of `\uXXXX`. */
const ESCAPE_BYTES = 6;
const [FIRST_DIGIT, LAST_DIGIT, MINUS] = [0x30, 0x39, 0x2d];

/** Which members are wanted: of the object, and of the object that its member `inner` holds. */
interface Wanted {
  members: readonly string[];
  inner: string;
  innerMembers: readonly string[];
  /** Members of either whose strings keep their length; of other long strings the beginning is enough. */
  measured: readonly string[];
}

/**
 * What `JSON.parse` would return, in little memory however long the text is. Long values have stand-ins: an object is empty, an array has its
 * length and numbers only if it had, a string is its beginning. Undefined when the bytes are not JSON in UTF-8.
 */
export function outlineJson(bytes: Uint8Array, { members, inner, innerMembers, measured }: Wanted): unknown {
  const check = createJsonCheck();
  if (!check.push(bytes, 0, bytes.length) || !check.end()) return undefined;
  const read = (name: string, value: Uint8Array) => standIn(value, measured.includes(name));
  const outline = outlineObject(bytes, members, (name, value) =>
    name === inner ? (outlineObject(value, innerMembers, read) ?? read(name, value)) : read(name, value),
  );
  return outline ?? standIn(bytes, false);
}

/** The wanted members, each as `read` returns it, and the names of some others; null where the JSON is no object. */
function outlineObject(
  json: Uint8Array,
  wanted: readonly string[],
  read: (name: string, value: Uint8Array) => unknown,
): Record<string, unknown> | null {
  const found = new Map<string, MemberRange>();
  const others = new Set<string>();
  const end = eachMember(json, wanted, (index, range, key) => {
    const name = wanted[index];
    if (name !== undefined) found.set(name, range);
    else if (others.size < MOST_OTHERS && key.end - key.start <= SHORT_BYTES) others.add(String(parse(json, key)));
  });
  if (end === null) return null;
  return Object.fromEntries([
    ...[...others].map((name) => [name, true] as const),
    ...[...found].map(([name, { start, end: valueEnd }]) => [name, read(name, json.subarray(start, valueEnd))] as const),
  ]);
}

function standIn(value: Uint8Array, isMeasured: boolean): unknown {
  if (value.length <= SHORT_BYTES) return parse(value, { start: 0, end: value.length });
  const at = value.findIndex((byte) => byte > 0x20);
  switch (value[at]) {
    case OPEN_BRACE:
      return {};
    case OPEN_BRACKET:
      return arrayStandIn(value);
    case QUOTE:
      return isMeasured ? measuredStandIn(value) : beginOf(value);
    default:
      // A number of thousands of digits.
      return Number(UTF_8.decode(value.subarray(0, SHORT_BYTES)));
  }
}

function arrayStandIn(value: Uint8Array): unknown[] {
  let [length, hasOthers] = [0, false];
  eachElement(value, ({ start }) => {
    const first = value[start] ?? 0;
    length += 1;
    hasOthers ||= first !== MINUS && (first < FIRST_DIGIT || first > LAST_DIGIT);
  });
  // What holds numbers only is asked for nothing but that.
  if (length > 0 && !hasOthers) return [0];
  const array: unknown[] = length === 0 ? [] : [null];
  array.length = length;
  return array;
}

/** The beginning of the string, filled up to its length in code points. V8 does not write the filling down before it is read. */
function measuredStandIn(value: Uint8Array): string {
  const begin = beginOf(value);
  return begin + 'x'.repeat(Math.max(0, countCodePoints(value) - Array.from(begin).length));
}

/** The first characters of a long string, cut where neither an escape nor a character is. */
function beginOf(value: Uint8Array): string {
  for (let cut = SHORT_BYTES; cut > SHORT_BYTES - 16; cut--) {
    if (((value[cut] ?? 0) & 0xc0) === 0x80) continue;
    try {
      return String(JSON.parse(`${UTF_8.decode(value.subarray(value.indexOf(QUOTE), cut))}"`));
    } catch {
      // Inside an escape.
    }
  }
  return '';
}

/** Code points of a JSON string, by its bytes between the quotes. */
function countCodePoints(value: Uint8Array): number {
  let count = 0;
  const end = value.lastIndexOf(QUOTE);
  for (let at = value.indexOf(QUOTE) + 1; at < end; at++) {
    const byte = value[at] ?? 0;
    if ((byte & 0xc0) !== 0x80) count++;
    if (byte !== BACKSLASH) continue;
    // Two escapes may make one character.
    if (isSurrogate(value, at, '89abAB') && isSurrogate(value, at + ESCAPE_BYTES, 'cdefCDEF')) at += ESCAPE_BYTES;
    at += value[at + 1] === LOWER_U ? ESCAPE_BYTES - 1 : 1;
  }
  return count;
}

/** Whether an escape at this place is half of a pair, by its second digit. */
function isSurrogate(value: Uint8Array, at: number, digits: string): boolean {
  const [backslash, u, first = 0, second = 0] = value.subarray(at, at + 4);
  return backslash === BACKSLASH && u === LOWER_U && (first | 0x20) === LOWER_D && digits.includes(String.fromCharCode(second));
}

function parse(json: Uint8Array, { start, end }: MemberRange): unknown {
  return JSON.parse(UTF_8.decode(json.subarray(start, end)));
}

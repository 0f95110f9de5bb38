/** Says byte by byte whether a text is one JSON value, without keeping any of it: memory does not grow with the text. */
export interface JsonCheck {
  /** Takes the bytes from `start` to before `end`; false once the text cannot be JSON any more. */
  push(bytes: Uint8Array, start: number, end: number): boolean;
  /** Whether what was taken is one whole value. */
  end(): boolean;
  /** Bytes taken that JSON allows: where the first one stands that it does not. */
  readonly taken: number;
}

/** Deeper nesting than this is refused: the stack of open brackets is the only thing that grows. */
const MAX_DEPTH = 10_000;
/** Decoded at a time, so that no text as long as the bytes comes into being. */
const STEP = 64 * 1024;

const WHITESPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const bytesOf = (text: string) => new TextEncoder().encode(text);
const SIMPLE_ESCAPES = new Set(bytesOf('"\\/bfnrt'));
const LITERALS = new Map(['true', 'false', 'null'].map((word) => [word.charCodeAt(0), bytesOf(word.slice(1))]));
const [QUOTE, BACKSLASH, COMMA, COLON, MINUS, PLUS, DOT] = [0x22, 0x5c, 0x2c, 0x3a, 0x2d, 0x2b, 0x2e];
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY, ZERO] = [0x7b, 0x7d, 0x5b, 0x5d, 0x30];

const isDigit = (byte: number) => byte >= 0x30 && byte <= 0x39;
const isHex = (byte: number) => isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
const isPlain = (byte: number) => byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH;
const isExponent = (byte: number) => byte === 0x65 || byte === 0x45;

/** What the next byte may be. */
type Expecting =
  | 'value'
  | 'value or ]'
  | 'key'
  | 'key or }'
  | 'colon'
  | 'comma or end'
  | 'string'
  | 'escape'
  | 'hex'
  | 'literal'
  | 'number after minus'
  | 'number after point'
  | 'number after e'
  | 'number after e sign'
  | 'number after zero'
  | 'number integer'
  | 'number fraction'
  | 'number exponent'
  | 'nothing';

/** A check of one text, which agrees with `JSON.parse` on UTF-8 (nesting over 10,000 levels aside). */
export function createJsonCheck(): JsonCheck {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const open: ('object' | 'array')[] = [];
  let expecting: Expecting = 'value';
  let stringIsKey = false;
  let hexLeft = 0;
  let literal = new Uint8Array();
  let taken = 0;

  const fail = () => ((expecting = 'nothing'), false);

  function openBracket(kind: 'object' | 'array'): boolean {
    if (open.length === MAX_DEPTH) return fail();
    open.push(kind);
    expecting = kind === 'object' ? 'key or }' : 'value or ]';
    return true;
  }

  function closeBracket(kind: 'object' | 'array'): boolean {
    if (open.pop() !== kind) return fail();
    expecting = 'comma or end';
    return true;
  }

  function startValue(byte: number): boolean {
    if (byte === OPEN_OBJECT) return openBracket('object');
    if (byte === OPEN_ARRAY) return openBracket('array');
    const word = LITERALS.get(byte);
    if (byte === QUOTE) [expecting, stringIsKey] = ['string', false];
    else if (byte === MINUS) expecting = 'number after minus';
    else if (byte === ZERO) expecting = 'number after zero';
    else if (isDigit(byte)) expecting = 'number integer';
    else if (word !== undefined) [expecting, literal] = ['literal', word];
    else return fail();
    return true;
  }

  function startKey(byte: number): boolean {
    if (byte !== QUOTE) return fail();
    [expecting, stringIsKey] = ['string', true];
    return true;
  }

  function afterValue(byte: number): boolean {
    const inside = open.at(-1);
    if (byte === COMMA && inside !== undefined) expecting = inside === 'object' ? 'key' : 'value';
    else if (byte === CLOSE_OBJECT) return closeBracket('object');
    else if (byte === CLOSE_ARRAY) return closeBracket('array');
    else return fail();
    return true;
  }

  /** A number has no closing sign: the byte after it belongs to what follows. */
  function afterNumber(byte: number): boolean {
    expecting = 'comma or end';
    return WHITESPACE.has(byte) || afterValue(byte);
  }

  function take(byte: number): boolean {
    switch (expecting) {
      case 'string':
        if (byte === QUOTE) expecting = stringIsKey ? 'colon' : 'comma or end';
        else if (byte === BACKSLASH) expecting = 'escape';
        else if (byte < 0x20) return fail();
        return true;
      case 'escape':
        if (byte === 0x75) [expecting, hexLeft] = ['hex', 4];
        else if (SIMPLE_ESCAPES.has(byte)) expecting = 'string';
        else return fail();
        return true;
      case 'hex':
        if (!isHex(byte)) return fail();
        if (--hexLeft === 0) expecting = 'string';
        return true;
      case 'literal':
        if (byte !== literal[0]) return fail();
        literal = literal.subarray(1);
        if (literal.length === 0) expecting = 'comma or end';
        return true;
      case 'number after minus':
        if (!isDigit(byte)) return fail();
        expecting = byte === ZERO ? 'number after zero' : 'number integer';
        return true;
      case 'number after point':
        expecting = 'number fraction';
        return isDigit(byte) || fail();
      case 'number after e':
        expecting = byte === PLUS || byte === MINUS ? 'number after e sign' : 'number exponent';
        return byte === PLUS || byte === MINUS || isDigit(byte) || fail();
      case 'number after e sign':
        expecting = 'number exponent';
        return isDigit(byte) || fail();
      case 'number after zero':
      case 'number integer':
        if (expecting === 'number integer' && isDigit(byte)) return true;
        if (byte === DOT) expecting = 'number after point';
        else if (isExponent(byte)) expecting = 'number after e';
        else return afterNumber(byte);
        return true;
      case 'number fraction':
        if (isDigit(byte)) return true;
        if (!isExponent(byte)) return afterNumber(byte);
        expecting = 'number after e';
        return true;
      case 'number exponent':
        return isDigit(byte) || afterNumber(byte);
      case 'value':
        return WHITESPACE.has(byte) || startValue(byte);
      case 'value or ]':
        if (WHITESPACE.has(byte)) return true;
        return byte === CLOSE_ARRAY ? closeBracket('array') : startValue(byte);
      case 'key':
        return WHITESPACE.has(byte) || startKey(byte);
      case 'key or }':
        if (WHITESPACE.has(byte)) return true;
        return byte === CLOSE_OBJECT ? closeBracket('object') : startKey(byte);
      case 'colon':
        if (WHITESPACE.has(byte)) return true;
        if (byte !== COLON) return fail();
        expecting = 'value';
        return true;
      case 'comma or end':
        return WHITESPACE.has(byte) || afterValue(byte);
      case 'nothing':
        return false;
    }
  }

  function pushStep(bytes: Uint8Array, start: number, end: number): boolean {
    try {
      utf8.decode(bytes.subarray(start, end), { stream: true });
    } catch {
      return fail();
    }
    for (let at = start; at < end; at++) {
      const from = at;
      // Most of a long text is the inside of strings.
      if (expecting === 'string') while (at < end && isPlain(bytes[at] ?? 0)) at++;
      taken += at - from;
      if (at === end) break;
      if (!take(bytes[at] ?? 0)) return false;
      taken += 1;
    }
    return true;
  }

  return {
    push(bytes, start, end) {
      for (let from = start; from < end; from += STEP) if (!pushStep(bytes, from, Math.min(from + STEP, end))) return false;
      return true;
    },
    get taken() {
      return taken;
    },
    end() {
      try {
        utf8.decode();
      } catch {
        return false;
      }
      const ended: Expecting[] = ['comma or end', 'number after zero', 'number integer', 'number fraction', 'number exponent'];
      return open.length === 0 && ended.includes(expecting);
    },
  };
}

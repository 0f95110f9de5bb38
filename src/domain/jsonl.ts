/** One line of a JSONL stream that holds something. */
export interface InputLine {
  /** Number of the line, from 1, blank lines counted. */
  line: number;
  /** Where its first byte stands in the stream, and how many bytes it has; line break and byte order mark excluded. */
  offset: number;
  length: number;
  /** Its bytes, which may share memory with the chunk they came in; null when longer than `maxLineBytes`. */
  bytes: Uint8Array | null;
}

/** Splits a stream of bytes into lines as they come. */
export interface LineSplitter {
  push(chunk: Uint8Array): InputLine[];
  /** The last line, if the stream ends without a line break. */
  end(): InputLine[];
}

const LF = 10;
const CR = 13;
const NOTHING = new Uint8Array(0);

/**
 * Splits on the byte `\n` only, so that no character of a string can break a line. One byte order mark at the start of the
 * stream and one `\r` before `\n` are dropped; blank lines are counted but not answered. At most one line is held.
 */
export function createLineSplitter({ maxLineBytes }: { maxLineBytes: number }): LineSplitter {
  let line = 1;
  /** Offset of the first byte of the current line. */
  let offset = 0;
  /** What has come of the current line; emptied once it is longer than may be kept. */
  let parts: Uint8Array[] = [];
  let length = 0;
  let blank = true;
  let lastByte = 0;
  /** The first bytes of the stream while they may still become a byte order mark; null afterwards. */
  let head: Uint8Array | null = NOTHING;

  const take = (part: Uint8Array): void => {
    if (part.length === 0) return;
    length += part.length;
    lastByte = part[part.length - 1] ?? 0;
    blank &&= isBlank(part);
    // One byte more may be kept, because it can turn out to be the `\r` of the line break.
    if (length <= maxLineBytes + 1) parts.push(part);
    else parts = [];
  };

  const finish = (hasBreak: boolean): InputLine | null => {
    const withoutCr = hasBreak && lastByte === CR && length > 0 ? length - 1 : length;
    const keep = !blank && withoutCr <= maxLineBytes;
    const bytes = keep ? joined(parts, length).subarray(0, withoutCr) : null;
    const found = blank ? null : { line, offset, length: withoutCr, bytes };
    line += 1;
    offset += length + 1;
    parts = [];
    length = 0;
    blank = true;
    lastByte = 0;
    return found;
  };

  const split = (chunk: Uint8Array): InputLine[] => {
    const found: InputLine[] = [];
    let start = 0;
    for (let at = chunk.indexOf(LF); at !== -1; at = chunk.indexOf(LF, start)) {
      take(chunk.subarray(start, at));
      const done = finish(true);
      if (done !== null) found.push(done);
      start = at + 1;
    }
    take(chunk.subarray(start));
    return found;
  };

  return {
    push(chunk) {
      if (head === null) return split(chunk);
      const start = head.length === 0 ? chunk : joined([head, chunk], head.length + chunk.length);
      const mark = markLength(start);
      if (mark === 'maybe') {
        head = start;
        return [];
      }
      head = null;
      offset = mark;
      return split(start.subarray(mark));
    },
    end() {
      const found = head === null ? [] : split(head);
      head = null;
      const last = length === 0 ? null : finish(false);
      if (last !== null) found.push(last);
      return found;
    },
  };
}

/** Whether bytes are nothing but JSON whitespace. */
function isBlank(bytes: Uint8Array): boolean {
  for (const byte of bytes) {
    if (byte !== 32 && byte !== 9 && byte !== CR && byte !== LF) return false;
  }
  return true;
}

/** Bytes of the byte order mark that a stream begins with: 3 or 0, or `'maybe'` while too little has come to tell. */
function markLength(start: Uint8Array): number | 'maybe' {
  const mark = [0xef, 0xbb, 0xbf];
  if (!mark.every((byte, at) => at >= start.length || start[at] === byte)) return 0;
  return start.length < mark.length ? 'maybe' : mark.length;
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const [first, ...more] = parts;
  if (first === undefined) return NOTHING;
  if (more.length === 0) return first;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

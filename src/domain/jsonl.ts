import { LONG_LINE_BYTES } from './limits.ts';

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
  /** Bytes held of a line that has not ended, and where its first byte stands in the stream. */
  readonly heldBytes: number;
  readonly offset: number;
}

const LF = 10;
const CR = 13;
const BOM = [0xef, 0xbb, 0xbf];
const NOTHING = new Uint8Array(0);
/** The buffer of a long line grows by this factor. */
const GROWTH = 4;

/**
 * Splits on the byte `\n` only, so that no character of a string can break a line. Byte order marks at the start of any line (files
 * were joined, or an editor wrote them) and one `\r` before `\n` are dropped; blank lines are counted but not answered. At most one
 * line is held. The stream may begin after the text of a line, `from`, whose line break comes first then.
 */
export function createLineSplitter({
  maxLineBytes,
  from = { line: 1, offset: 0 },
}: {
  maxLineBytes: number;
  from?: { line: number; offset: number };
}): LineSplitter {
  // More than a line has, because it can turn out to be a byte order mark and the `\r` of the line break.
  const mostBytes = maxLineBytes + BOM.length + 1;
  let { line } = from;
  /** Offset of the first byte of the current line. */
  let { offset } = from;
  /** What has come of the current line; emptied once it is longer than may be kept. */
  let parts: Uint8Array[] = [];
  /** Holds a long line instead, so that its bytes are not in memory twice when it ends. */
  let buffer: Uint8Array | null = null;
  let length = 0;
  let blank = true;
  let lastByte = 0;

  const take = (part: Uint8Array): void => {
    if (part.length === 0) return;
    length += part.length;
    lastByte = part[part.length - 1] ?? 0;
    blank &&= isBlank(part);
    if (length > mostBytes) drop();
    else if (length <= LONG_LINE_BYTES) parts.push(part);
    else append(part);
  };

  const drop = (): void => {
    parts = [];
    buffer = null;
  };

  const append = (part: Uint8Array): void => {
    if (buffer === null || buffer.length < length) {
      // The system gives memory to the part of it only that is written.
      const larger = new Uint8Array(Math.min(mostBytes, GROWTH * length));
      larger.set(buffer ?? joined(parts, length - part.length));
      buffer = larger;
      parts = [];
    }
    buffer.set(part, length - part.length);
  };

  /** The line that ends here; null when it is blank. */
  const found = (hasBreak: boolean): InputLine | null => {
    if (blank) return null;
    const withoutCr = hasBreak && lastByte === CR ? length - 1 : length;
    const kept = buffer?.subarray(0, length) ?? (parts.length === 0 ? null : joined(parts, length));
    const whole = kept?.subarray(0, withoutCr) ?? null;
    const mark = whole === null ? 0 : marksLength(whole);
    const bytes = whole?.subarray(mark) ?? null;
    if (bytes !== null && isWhiteSpace(bytes)) return null;
    const lineLength = withoutCr - mark;
    return { line, offset: offset + mark, length: lineLength, bytes: lineLength <= maxLineBytes ? bytes : null };
  };

  const finish = (hasBreak: boolean): InputLine | null => {
    const ended = found(hasBreak);
    line += 1;
    offset += length + 1;
    drop();
    length = 0;
    blank = true;
    lastByte = 0;
    return ended;
  };

  return {
    get offset() {
      return offset;
    },
    get heldBytes() {
      return parts.length === 0 && buffer === null ? 0 : length;
    },
    push(chunk) {
      const lines: InputLine[] = [];
      let start = 0;
      for (let at = chunk.indexOf(LF); at !== -1; at = chunk.indexOf(LF, start)) {
        take(chunk.subarray(start, at));
        const done = finish(true);
        if (done !== null) lines.push(done);
        start = at + 1;
      }
      take(chunk.subarray(start));
      return lines;
    },
    end() {
      const last = length === 0 ? null : finish(false);
      return last === null ? [] : [last];
    },
  };
}

/** Whether bytes are nothing but white space of ASCII. */
function isBlank(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 32 && (byte < 9 || byte > CR)) return false;
  return true;
}

/** Bytes of the byte order marks that a line begins with. */
function marksLength(bytes: Uint8Array): number {
  let at = 0;
  while (BOM.every((byte, index) => bytes[at + index] === byte)) at += BOM.length;
  return at;
}

const PIECE_BYTES = 256;

/** Whether a line is nothing but white space of any kind, such as U+00A0 of a word processor. */
function isWhiteSpace(bytes: Uint8Array): boolean {
  const [first = 32] = bytes;
  if (first > 32 && first < 128) return false;
  const utf8 = new TextDecoder();
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    if (utf8.decode(bytes.subarray(at, at + PIECE_BYTES), { stream: true }).trim() !== '') return false;
  }
  return utf8.decode() === '';
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

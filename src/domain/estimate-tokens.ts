import { endOfString, memberRanges, skipWhitespace } from './json-scan.ts';

/** How input tokens are estimated, as answers name it. */
export const TOKEN_METHOD = 'bytes_per_token_4';
/** English text has about so many bytes of UTF-8 per token of usual tokenizers. */
const BYTES_PER_TOKEN = 4;

/** How large a request is. */
export interface RequestSize {
  /** Bytes of the text that it sends, as UTF-8 without JSON's escapes. */
  textBytes: number;
  /** Tokens that it sends as numbers. */
  tokenNumbers: number;
  /** Whether it also sends pictures, sound or files, which are not in `textBytes`. */
  hasMedia: boolean;
  /** Most tokens that it lets the model answer with; null where it sets no limit. */
  maxOutputTokens: number | null;
}

/** Estimated input tokens of requests that have so much text together. */
export function inputTokensOf({ textBytes, tokenNumbers }: Pick<RequestSize, 'textBytes' | 'tokenNumbers'>): number {
  return Math.ceil(textBytes / BYTES_PER_TOKEN) + tokenNumbers;
}

const OUTPUT_LIMITS = ['max_completion_tokens', 'max_tokens', 'max_output_tokens'] as const;
/** Endpoints whose answers are no text. */
const WITHOUT_OUTPUT: ReadonlySet<string> = new Set(['/v1/embeddings', '/v1/moderations']);

/** Measures the bytes of a request line that has passed the checker. */
export function measureRequest(line: Uint8Array, endpoint: string): RequestSize {
  const [range] = memberRanges(line, ['body']);
  const body = range === undefined || range === null ? line : line.subarray(range.start, range.end);
  const [choices = null, ...limits] = memberRanges(body, ['n', ...OUTPUT_LIMITS]).map((found) =>
    found === null ? null : wholeNumberIn(body.subarray(found.start, found.end)),
  );
  const limit = limits.find((each) => each !== null) ?? null;
  const maxOutputTokens = WITHOUT_OUTPUT.has(endpoint) ? 0 : limit === null ? null : limit * (choices ?? 1);
  return { ...measureText(body), maxOutputTokens };
}

/** Longer numbers are no count. */
const MAX_NUMBER_BYTES = 12;

function wholeNumberIn(bytes: Uint8Array): number | null {
  const text = bytes.length > MAX_NUMBER_BYTES ? '' : Buffer.from(bytes).toString();
  return /^\d+$/.test(text) ? Number(text) : null;
}

const [QUOTE, BACKSLASH, COLON, LOWER_U] = [0x22, 0x5c, 0x3a, 0x75];
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];
/** Numbers that are nested deeper are not counted: tokens stand in an array of arrays at most. */
const MAX_DEPTH = 64;
const NO_TEXT: ReadonlySet<string> = new Set(['model', 'encoding_format', 'service_tier', 'user', 'safety_identifier', 'prompt_cache_key']);
const MEDIA: ReadonlySet<string> = new Set([
  'url',
  'image_url',
  'audio_url',
  'video_url',
  'data',
  'file_data',
  'file_id',
  'file_url',
  'prompt_embeds',
]);
const LONGEST_KEY = 20;
const DATA_URL = Buffer.from('"data:');

/** What a JSON value holds of text, by its bytes, so that a long one takes no memory. Names of members are no text. */
function measureText(json: Uint8Array): Omit<RequestSize, 'maxOutputTokens'> {
  const isArray = new Uint8Array(MAX_DEPTH + 1);
  let [depth, textBytes, tokenNumbers, hasMedia, key] = [0, 0, 0, false, ''];
  /** The next backslash; looked for again only when it was passed. */
  let backslash = json.indexOf(BACKSLASH);
  const open = (kind: number) => {
    depth += 1;
    if (depth <= MAX_DEPTH) isArray[depth] = kind;
  };

  for (let at = 0; at < json.length;) {
    const byte = json[at] ?? 0;
    if (byte === QUOTE) {
      const end = endOfString(json, at);
      const after = skipWhitespace(json, end);
      if (json[after] === COLON) {
        key = end - at > LONGEST_KEY ? '' : Buffer.from(json.subarray(at + 1, end - 1)).toString();
      } else if (!NO_TEXT.has(key) || depth > 1) {
        const isMedia = MEDIA.has(key) || startsWith(json, at, DATA_URL);
        hasMedia ||= isMedia;
        if (backslash !== -1 && backslash < at) backslash = json.indexOf(BACKSLASH, at);
        if (!isMedia) textBytes += backslash === -1 || backslash >= end ? end - at - 2 : unescapedBytes(json, at + 1, end - 1);
      }
      at = after;
      continue;
    }
    if (byte === OPEN_BRACE) open(0);
    else if (byte === OPEN_BRACKET) open(1);
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1;
    else if (isDigit(byte)) {
      while (isOfNumber(json[at + 1])) at += 1;
      if (depth <= MAX_DEPTH && isArray[depth] === 1) tokenNumbers += 1;
    }
    at += 1;
  }
  return { textBytes, tokenNumbers, hasMedia };
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

/** What may follow a digit in a number: digits, `.`, `e`, `E`, `+` and `-`. */
function isOfNumber(byte: number | undefined): boolean {
  return isDigit(byte) || byte === 0x2e || byte === 0x65 || byte === 0x45 || byte === 0x2b || byte === 0x2d;
}

function startsWith(json: Uint8Array, at: number, start: Uint8Array): boolean {
  return start.every((byte, index) => json[at + index] === byte);
}

/** `\n` is one byte; `\u4e2d` has the bytes of its character. Each half of a surrogate pair counts for two. */
function unescapedBytes(json: Uint8Array, start: number, end: number): number {
  let bytes = 0;
  for (let at = start; at < end; at++) {
    bytes += 1;
    if (json[at] !== BACKSLASH) continue;
    at += 1;
    if (json[at] !== LOWER_U) continue;
    const unit = Number.parseInt(Buffer.from(json.subarray(at + 1, at + 5)).toString(), 16);
    if (unit >= 0x80) bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2;
    at += 4;
  }
  return bytes;
}

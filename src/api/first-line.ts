import { createJsonCheck } from '../domain/json-check.ts';
import { cutCharacterStart, endsEarly, explainInvalidJson } from '../domain/invalid-json.ts';

/** Looks at content as it streams by and says whether its first line that is not blank is JSON; keeps no more than a short line. */
export interface FirstLineCheck {
  /** Takes the next bytes; false once it is certain that the first line is not JSON. */
  push(chunk: Uint8Array): boolean;
  /** Whether no more bytes can change the verdict. */
  readonly isSettled: boolean;
  /** The verdict at the end of the content: false as well when there are only blank lines, or nothing at all. */
  end(): boolean;
  /** Why the verdict is false, in sentences. */
  readonly reason: string;
}

const LINE_BREAK = 0x0a;
const NOTHING: Buffer = Buffer.alloc(0);
/** A longer line is not kept to show where it stops being JSON. */
const MOST_KEPT_BYTES = 64 * 1024;
/** What blank lines and the beginnings of lines are made of: ASCII white space, and the bytes of U+00A0 and of a byte order mark. */
const BLANK: ReadonlySet<number> = new Set([0x20, 0x09, 0x0b, 0x0c, 0x0d, LINE_BREAK, 0xc2, 0xa0, 0xef, 0xbb, 0xbf]);

/** A check of one content. A first line of more than `maxLineBytes` is taken for no JSONL. */
export function createFirstLineCheck(maxLineBytes: number): FirstLineCheck {
  const json = createJsonCheck();
  let verdict: boolean | null = null;
  let inLine = false;
  let line = 1;
  let lineBytes = 0;
  let kept = NOTHING;

  function reason(): string {
    if (!inLine) return 'The file has no line that is not blank.';
    if (lineBytes > maxLineBytes) return `Line ${line} is larger than the ${maxLineBytes} bytes maximum.`;
    if (json.taken === lineBytes) return `Line ${line}: ${endsEarly(kept[0])}`;
    return `Line ${line}: ${kept.length === lineBytes ? explainInvalidJson(kept.subarray(0, cutCharacterStart(kept, kept.length))) : `There is no valid JSON in UTF-8 after byte ${json.taken}.`}`;
  }

  function keep(bytes: Uint8Array): void {
    kept = lineBytes <= MOST_KEPT_BYTES ? Buffer.concat([kept, bytes]) : NOTHING;
  }

  return {
    get reason() {
      return reason();
    },
    push(chunk) {
      let at = 0;
      while (!inLine && at < chunk.length) {
        if (!BLANK.has(chunk[at] ?? 0)) inLine = true;
        else if (chunk[at++] === LINE_BREAK) line++;
      }
      if (verdict !== null || at >= chunk.length) return verdict !== false;

      const lineBreak = chunk.indexOf(LINE_BREAK, at);
      const end = lineBreak === -1 ? chunk.length : lineBreak;
      lineBytes += end - at;
      keep(chunk.subarray(at, end));
      if (lineBytes > maxLineBytes || !json.push(chunk, at, end)) verdict = false;
      else if (lineBreak !== -1) verdict = json.end();
      if (verdict === true) kept = NOTHING;
      return verdict !== false;
    },
    get isSettled() {
      return verdict !== null;
    },
    end: () => verdict ?? (inLine && json.end()),
  };
}

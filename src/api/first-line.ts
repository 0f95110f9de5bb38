import { createJsonCheck } from '../domain/json-check.ts';

/** Looks at content as it streams by and says whether its first line that is not blank is JSON; keeps nothing of it. */
export interface FirstLineCheck {
  /** Takes the next bytes; false once it is certain that the first line is not JSON. */
  push(chunk: Uint8Array): boolean;
  /** Whether no more bytes can change the verdict. */
  readonly isSettled: boolean;
  /** The verdict at the end of the content: false as well when there are only blank lines, or nothing at all. */
  end(): boolean;
}

const LINE_BREAK = 0x0a;
/** What blank lines and the beginnings of lines are made of: ASCII white space, and the bytes of U+00A0 and of a byte order mark. */
const BLANK: ReadonlySet<number> = new Set([0x20, 0x09, 0x0b, 0x0c, 0x0d, LINE_BREAK, 0xc2, 0xa0, 0xef, 0xbb, 0xbf]);

/** A check of one content. A first line of more than `maxLineBytes` is taken for no JSONL. */
export function createFirstLineCheck(maxLineBytes: number): FirstLineCheck {
  const json = createJsonCheck();
  let verdict: boolean | null = null;
  let inLine = false;
  let lineBytes = 0;

  return {
    push(chunk) {
      let at = 0;
      while (!inLine && at < chunk.length) {
        if (BLANK.has(chunk[at] ?? 0)) at++;
        else inLine = true;
      }
      if (verdict !== null || at >= chunk.length) return verdict !== false;

      const lineBreak = chunk.indexOf(LINE_BREAK, at);
      const end = lineBreak === -1 ? chunk.length : lineBreak;
      lineBytes += end - at;
      if (lineBytes > maxLineBytes || !json.push(chunk, at, end)) verdict = false;
      else if (lineBreak !== -1) verdict = json.end();
      return verdict !== false;
    },
    get isSettled() {
      return verdict !== null;
    },
    end: () => verdict ?? (inLine && json.end()),
  };
}

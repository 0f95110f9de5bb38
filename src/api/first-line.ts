import { createJsonCheck } from './json-check.ts';

/** Looks at content as it streams by and says whether its first line that is not blank is JSON; keeps nothing of it. */
export interface FirstLineCheck {
  /** Takes the next bytes; false once it is certain that the first line is not JSON. */
  push(chunk: Uint8Array): boolean;
  /** Whether no more bytes can change the verdict. */
  readonly isSettled: boolean;
  /** The verdict at the end of the content: false as well when there are only blank lines, or nothing at all. */
  end(): boolean;
}

const BOM = [0xef, 0xbb, 0xbf];
const LINE_BREAK = 0x0a;
const isBlank = (byte: number) => byte === 0x20 || byte === 0x09 || byte === 0x0d;

/** A check of one content. A first line of more than `maxLineBytes` is taken for no JSONL. */
export function createFirstLineCheck(maxLineBytes: number): FirstLineCheck {
  const json = createJsonCheck();
  let verdict: boolean | null = null;
  let bomMatched = 0;
  let inLine = false;
  let lineBytes = 0;

  return {
    push(chunk) {
      let at = 0;
      // One BOM may stand before everything else; it may be cut anywhere by the chunks.
      while (bomMatched < BOM.length && at < chunk.length && chunk[at] === BOM[bomMatched]) [bomMatched, at] = [bomMatched + 1, at + 1];
      if (at < chunk.length) {
        if (bomMatched > 0 && bomMatched < BOM.length) verdict = false;
        bomMatched = BOM.length;
      }
      while (verdict === null && !inLine && at < chunk.length) {
        const byte = chunk[at] ?? 0;
        if (byte === LINE_BREAK || isBlank(byte)) at++;
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

import type { Output } from './output.ts';
import { bar, bytes, createStatusLine } from './progress-line.ts';
import type { OnBytes } from './upload-body.ts';

/** Shows how far uploads and downloads are, where that takes a while. */
export interface Transfers {
  begin(what: string): { onBytes: OnBytes; end(): void };
  note(text: string): void;
}

/** Smaller transfers are over before a line could be read. */
const SHOWN_FROM_BYTES = 8 * 1024 * 1024;
const EVERY_MS = 200;

export function createTransfers(output: Pick<Output, 'screen' | 'note'>): Transfers {
  return {
    begin(what) {
      const { screen } = output;
      const line = screen === null ? null : createStatusLine(screen);
      let shownMs = -Infinity;
      return {
        onBytes(done, total) {
          const nowMs = performance.now();
          if (line === null || total < SHOWN_FROM_BYTES || (nowMs - shownMs < EVERY_MS && done < total)) return;
          shownMs = nowMs;
          const percent = `${Math.floor((done / total) * 100)}%`;
          const sizes = `${bytes(done)} of ${bytes(total)}`;
          line.show([`${what} ${bar(done / total, 16)} ${percent}  ${sizes}`, `${what} ${percent}`, percent], done === total);
        },
        end: () => line?.end(),
      };
    },
    note: (text) => output.note(text),
  };
}

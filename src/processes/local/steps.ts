/** Tells a person what is being done, with progress and seconds. */
export interface Steps {
  begin(what: string): Step;
}

/** One thing that takes time; ends with `done` or `failed`. */
export interface Step {
  progress(detail: string): void;
  done(detail?: string): void;
  failed(detail: string): void;
}

/** Says nothing. */
export const quietSteps: Steps = { begin: () => ({ progress() {}, done() {}, failed() {} }) };

/** Prints steps: on a terminal one line each that is kept up to date, elsewhere a line at begin, every ten seconds and at the end. */
export function printedSteps(out: NodeJS.WriteStream): Steps {
  return {
    begin(what) {
      const startedMs = performance.now();
      const seconds = () => `${Math.round((performance.now() - startedMs) / 1000)} s`;
      const write = (text: string) => out.write(out.isTTY ? `\r\x1b[K${text.slice(0, (out.columns || 80) - 1)}` : `${text}\n`);
      let [detail, ticks] = ['', 0];
      const show = () => write(`  … ${what}${detail === '' ? '' : `: ${detail}`}${ticks === 0 ? '' : `, ${seconds()}`}`);
      const timer = setInterval(() => {
        ticks += 1;
        if (out.isTTY || ticks % 10 === 0) show();
      }, 1000);
      const end = (mark: string, last: string) => {
        clearInterval(timer);
        write(`  ${mark} ${what}${last === '' ? '' : `: ${last}`} (${seconds()})`);
        if (out.isTTY) out.write('\n');
      };
      show();
      return {
        progress: (text) => void (detail = text),
        done: (text = '') => end('✓', text),
        failed: (text) => end('✗', text),
      };
    },
  };
}

import type { Screen } from './output.ts';
import { oneLine } from './terminal-text.ts';
import { type Batch, isTerminal } from '../domain/batch.ts';
import { pausedAt } from '../domain/pause.ts';

/** Counts at a time (milliseconds of any steady clock). */
interface Sample {
  atMs: number;
  done: number;
}

const BAR_CELLS = [24, 12, 6, 0] as const;
const RATE_OVER_MS = 10_000;
const PLAIN_LINE_EVERY_MS = 5_000;

/**
 * Makes the line that shows how far a batch is; remembers what it saw, for rate and time left. Returns the line in several
 * lengths, longest first, so that a narrow terminal shows fewer facts and never a part of a number.
 */
export function createProgressLine(): (batch: Batch, atMs: number) => string[] {
  let samples: Sample[] = [];
  return (batch, atMs) => {
    const { total, completed, failed } = batch.request_counts;
    const done = completed + failed;
    samples = [...samples.filter((sample) => atMs - sample.atMs <= RATE_OVER_MS), { atMs, done }];
    const status = oneLine(pausedAt(batch) === null ? batch.status : `${batch.status}, paused`);
    if (total === 0) return [status];
    const first = samples[0];
    const perSecond = first === undefined || atMs <= first.atMs ? 0 : ((done - first.done) / (atMs - first.atMs)) * 1000;
    // An ended batch has no time left, and how long a cancel takes does not follow from the pace.
    const isMoving = perSecond > 0 && done < total && !isTerminal(batch.status) && batch.status !== 'cancelling';
    const counts = `${count(done)} of ${count(total)}`;
    const facts = [
      counts,
      failed > 0 ? `${count(failed)} failed` : null,
      perSecond > 0 ? `${perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))}/s` : null,
      isMoving ? `${duration((total - done) / perSecond)} left` : null,
    ];
    const percent = `${Math.floor((done / total) * 100)}%`;
    const line = (cells: number, kept: readonly (string | null)[]) =>
      [`${status} ${cells === 0 ? '' : `${bar(done / total, cells)} `}${percent}`, ...kept].filter((each) => each !== null).join('  ');
    const [, bad = null, rate = null, left = null] = facts;
    const shorter = [[counts, bad, left], [counts, left], [counts, bad], [counts], []];
    return [...BAR_CELLS.map((cells) => line(cells, [counts, bad, rate, left])), ...shorter.map((kept) => line(0, kept)), status];
  };
}

/** One line that is rewritten in place on a terminal, and printed now and then elsewhere. */
export interface StatusLine {
  /** Shows the first variant that fits; `isNews` prints it at once where lines are printed. */
  show(variants: readonly string[], isNews?: boolean): void;
  /** Shows these under the line. Where lines are printed, prints those that are new. */
  notes(texts: readonly string[]): void;
  /** Ends the line, so that what comes next begins on one of its own. */
  end(): void;
}

export function createStatusLine(screen: Screen): StatusLine {
  let [shown, shownMs] = ['', -Infinity];
  let noted: readonly string[] = [];
  /** The cursor stays on the line above. */
  const draw = (texts: readonly string[]) => {
    const columns = (screen.columns || 80) - 1;
    const rows = texts.map((each) => `\n\r\x1b[K${each.slice(0, columns)}`);
    screen.write(`${rows.join('')}${rows.length > 0 ? `\x1b[${rows.length}A` : ''}`);
  };
  return {
    notes(texts) {
      if (!screen.isTTY) for (const each of texts) if (!noted.includes(each)) screen.write(`${each}\n`);
      if (screen.isTTY && (texts.length > 0 || noted.length > 0)) {
        draw([...texts, ...Array.from({ length: Math.max(0, noted.length - texts.length) }, () => '')]);
      }
      noted = texts;
    },
    show(variants, isNews = false) {
      if (screen.isTTY) {
        const columns = (screen.columns || 80) - 1;
        const text = variants.find((each) => each.length <= columns) ?? variants.at(-1)?.slice(0, columns) ?? '';
        screen.write(`\r\x1b[K${text}`);
        shown = text;
        return;
      }
      const [text = ''] = variants;
      if (text === shown || !(isNews || performance.now() - shownMs >= PLAIN_LINE_EVERY_MS)) return;
      screen.write(`${text}\n`);
      [shown, shownMs] = [text, performance.now()];
    },
    end() {
      if (screen.isTTY && shown !== '') screen.write('\n'.repeat(1 + noted.length));
      shown = '';
    },
  };
}

/** `[████░░░░]`. */
export function bar(share: number, cells: number): string {
  const filled = Math.min(cells, Math.max(0, Math.floor(share * cells)));
  return `[${'█'.repeat(filled)}${'░'.repeat(cells - filled)}]`;
}

/** `1,234`. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `999 B`, `1.2 MB`, `200 MB`. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = value < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** power;
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${units[power]}`;
}

/** `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 172_800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

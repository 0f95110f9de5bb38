import type { Batch } from '../domain/batch.ts';

/** Counts at a time (milliseconds of any steady clock). */
interface Sample {
  atMs: number;
  done: number;
}

const BAR_CELLS = 24;
const RATE_OVER_MS = 10_000;

/** Makes the line that shows how far a batch is; remembers what it saw, for rate and time left. */
export function createProgressLine(): (batch: Batch, atMs: number) => string {
  let samples: Sample[] = [];
  return (batch, atMs) => {
    const { total, completed, failed } = batch.request_counts;
    const done = completed + failed;
    samples = [...samples.filter((sample) => atMs - sample.atMs <= RATE_OVER_MS), { atMs, done }];
    if (total === 0) return batch.status;
    const share = done / total;
    const filled = Math.floor(share * BAR_CELLS);
    const parts = [
      `${batch.status} [${'█'.repeat(filled)}${'░'.repeat(BAR_CELLS - filled)}] ${Math.floor(share * 100)}%`,
      `${count(done)} of ${count(total)}`,
    ];
    if (failed > 0) parts.push(`${count(failed)} failed`);
    const first = samples[0];
    const perSecond = first === undefined || atMs <= first.atMs ? 0 : ((done - first.done) / (atMs - first.atMs)) * 1000;
    if (perSecond > 0) parts.push(`${perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))}/s`);
    if (perSecond > 0 && done < total) parts.push(`${duration((total - done) / perSecond)} left`);
    return parts.join('  ');
  };
}

/** `1,234`. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `42 s`, `3 min 5 s`, `2 h 10 min`. */
export function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

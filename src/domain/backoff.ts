/** Milliseconds to wait before the next try after `tries` that failed: `firstMs` at 0, `factor` times as long after each more, at most `maxMs`. */
export function backoffMs(tries: number, firstMs: number, maxMs: number, factor = 2): number {
  return Math.min(maxMs, firstMs * factor ** tries);
}

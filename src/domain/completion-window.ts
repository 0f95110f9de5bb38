const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of a completion window such as `24h`, `90m` or `7d` (units `ms`, `s`, `m`, `h`, `d`); null when it is none. */
export function parseCompletionWindow(text: string): number | null {
  const match = /^([1-9]\d{0,14})(ms|s|m|h|d)$/.exec(text);
  const unit = Object.entries(UNIT_MS).find(([name]) => name === match?.[2]);
  if (match?.[1] === undefined || unit === undefined) return null;
  const windowMs = Number(match[1]) * unit[1];
  return Number.isSafeInteger(windowMs) ? windowMs : null;
}

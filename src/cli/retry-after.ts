/** How long a server asks its clients to wait, in milliseconds; null when it says nothing that can be understood. */
export function retryAfterMs(headers: Headers, nowMs: number): number | null {
  const ms = readNumber(headers.get('retry-after-ms'));
  if (ms !== null) return ms;
  const given = headers.get('retry-after');
  const seconds = readNumber(given);
  if (seconds !== null) return seconds * 1000;
  const date = Date.parse(given ?? '');
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}

function readNumber(text: string | null): number | null {
  return text !== null && /^\s*\d+(\.\d+)?\s*$/.test(text) ? Number(text) : null;
}

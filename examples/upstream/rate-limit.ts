import type { OutgoingHttpHeaders } from 'node:http';

/** A budget of requests per minute that fills up steadily; a tenth of the minute's requests may come at once. */
export function createRateLimit(): (rpm: number, headers: OutgoingHttpHeaders) => boolean {
  let fullAtMs = 0;
  /** Whether one more request may come; sets the headers that say how much is left, as OpenAI does, and when to come again. */
  return (rpm, headers) => {
    const nowMs = performance.now();
    const msPerRequest = 60_000 / rpm;
    const burstMs = Math.max(msPerRequest, 6000);
    const usedMs = Math.max(0, fullAtMs - nowMs);
    const granted = usedMs + msPerRequest <= burstMs;
    if (granted) fullAtMs = nowMs + usedMs + msPerRequest;
    else {
      const waitMs = usedMs + msPerRequest - burstMs;
      headers['retry-after'] = String(Math.ceil(waitMs / 1000));
      headers['retry-after-ms'] = String(Math.ceil(waitMs));
    }
    headers['x-ratelimit-limit-requests'] = String(rpm);
    headers['x-ratelimit-remaining-requests'] = String(Math.max(0, Math.trunc((burstMs - usedMs) / msPerRequest) - (granted ? 1 : 0)));
    headers['x-ratelimit-reset-requests'] = `${Math.ceil(usedMs)}ms`;
    return granted;
  };
}

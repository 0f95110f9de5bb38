import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import type { PollOptions, ReadTimes } from './pollers.ts';

/** The process of `startPollers`: a process of its own, so that what is measured is not how busy the bench is. */

const { origin, apiKey, batchIds, clients, everyMs }: PollOptions = JSON.parse(process.argv[2] ?? '');
const pool = new Pool(origin, { connections: clients });
const headers = { authorization: `Bearer ${apiKey}` };
const readMs: number[] = [];
let [errors, stopped] = [0, false];
const startedMs = performance.now();

async function poll(client: number): Promise<void> {
  const path = `/v1/batches/${batchIds[client % batchIds.length]}`;
  // Spread over the interval: real clients do not read in step.
  await delay((everyMs * client) / clients);
  while (!stopped) {
    const beginMs = performance.now();
    const answer = await pool.request({ path, method: 'GET', headers });
    await answer.body.arrayBuffer();
    const ms = performance.now() - beginMs;
    readMs.push(ms);
    if (answer.statusCode !== 200) errors += 1;
    await delay(Math.max(0, everyMs - ms));
  }
}

for (let client = 0; client < clients; client++) void poll(client);

process.once('message', () => {
  stopped = true;
  const sorted = readMs.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  const seconds = (performance.now() - startedMs) / 1000;
  const times: ReadTimes = { reads: sorted.length, errors, seconds, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
  process.send?.(times, () => process.exit());
});

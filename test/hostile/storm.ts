import { once } from 'node:events';
import { argv, stdout } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { toFile } from 'openai';
import { type HostileApi, startHostileApi } from './hostile-api.ts';
import type { StormOrders } from './storm-client.ts';

/** What an hour, or half a minute, of hostile traffic did to one API process. */
export interface StormReport {
  seconds: number;
  /** Reads of another tenant, and how long they took. */
  reads: number;
  failedReads: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** Resident memory of the process in MiB: the most, and the mean over the second and the last quarter. */
  peakMib: number;
  secondQuarterMib: number;
  lastQuarterMib: number;
}

const MIB = 1024 * 1024;

/** Stands in front of one API process with a heap of 256 MiB, which must stay below 512 MiB in all. Throws when it does not survive. */
export async function runStorm(given: {
  seconds: number;
  seed: number;
  connections: number;
  perSecond: number;
  /** Small files of each of the two tenants, which every list shows. */
  files?: number;
  /** The pause between two reads of the other tenant. */
  readEveryMs?: number;
  onSecond?: (line: string) => void;
}): Promise<StormReport> {
  const { seconds, seed, connections, perSecond, files = 200, readEveryMs = 50, onSecond = () => undefined } = given;
  await using api = await startHostileApi({ NODE_OPTIONS: '--max-old-space-size=256 --max-semi-space-size=4' });
  const fileId = await seedFiles(api, files);
  const orders: StormOrders = { port: Number(new URL(api.origin).port), seed, seconds, connections, perSecond, fileId };
  const storm = new Worker(new URL('./storm-client.ts', import.meta.url), { workerData: orders });
  const over = once(storm, 'exit');

  const latencies: number[] = [];
  const resident: number[] = [];
  let failedReads = 0;
  const paths = ['/v1/files?limit=20', '/v1/batches?limit=20', '/v1/files', '/health'];
  const startedMs = performance.now();
  let nextSecond = 1;
  for (let at = 0; performance.now() - startedMs < seconds * 1000; at += 1) {
    const beganMs = performance.now();
    const answer = await api
      .fetch(paths[at % paths.length] ?? '/', { headers: { authorization: 'Bearer key-b' } })
      .catch(() => ({ status: 0 }));
    const ms = performance.now() - beganMs;
    latencies.push(ms);
    if (answer.status !== 200) failedReads += 1;
    if (performance.now() - startedMs > nextSecond * 1000) {
      nextSecond += 1;
      resident.push((await api.residentBytes()) / MIB);
      if (nextSecond % 10 === 0)
        onSecond(`${nextSecond} s: ${Math.round(resident.at(-1) ?? 0)} MiB, ${latencies.length} reads, last ${Math.round(ms)} ms`);
    }
    await delay(readEveryMs);
  }
  await over;
  api.assertAlive();
  const sorted = latencies.toSorted((a, b) => a - b);
  const share = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  const quarter = Math.floor(resident.length / 4);
  return {
    seconds,
    reads: latencies.length,
    failedReads,
    p50Ms: share(0.5),
    p99Ms: share(0.99),
    maxMs: sorted.at(-1) ?? 0,
    peakMib: Math.max(...resident),
    secondQuarterMib: mean(resident.slice(quarter, 2 * quarter)),
    lastQuarterMib: mean(resident.slice(-quarter)),
  };
}

/** Uploads `files` small files of each tenant, a multiple of 20, and one of 4 MB. Returns the id of the large one. */
async function seedFiles(api: HostileApi, files: number): Promise<string> {
  const line = '{"custom_id":"1"}\n';
  for (const key of ['key-a', 'key-b']) {
    const client = api.client(key);
    for (let done = 0; done < files; done += 20) {
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) =>
          client.files.create({ file: await toFile(Buffer.from(line), `${done + index}.jsonl`), purpose: 'batch' }),
        ),
      );
    }
  }
  const large = await toFile(Buffer.from(line.repeat(240_000)), 'large.jsonl');
  return (await api.client('key-a').files.create({ file: large, purpose: 'batch' })).id;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: argv.slice(2),
    options: {
      minutes: { type: 'string', default: '2' },
      seed: { type: 'string', default: '1' },
      connections: { type: 'string', default: '4000' },
    },
  });
  const report = await runStorm({
    seconds: Number(values.minutes) * 60,
    seed: Number(values.seed),
    connections: Number(values.connections),
    perSecond: 200,
    onSecond: (line) => stdout.write(`${line}\n`),
  });
  stdout.write(`${JSON.stringify(report, null, 2)}\n`);
}

if (import.meta.main) await main();

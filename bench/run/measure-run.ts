import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack } from '../../test/helpers/stack.ts';
import { bareLoop } from './bare-loop.ts';
import { createBatches, oneLineBehind, uploadLines, whenAnswered, whenEnded } from './batches.ts';
import type { InputShape } from './input-file.ts';
import { type MemoryOverTime, watchMemory } from './memory-over-time.ts';
import { type ReadTimes, startPollers } from './pollers.ts';
import { type ProcessCost, processCost } from './process-cost.ts';
import { seenLines } from './results.ts';
import { type TemporalCost, temporalCost } from './temporal-cost.ts';
import { forgetLoad, readLoad, type UpstreamUse, upstreamUse } from './upstream-use.ts';
import { WIDE_LIMITS } from './wide-limits.ts';
import { sharesInFlight, startWorkers } from './workers.ts';

/** One run: a fresh stack, the bare loop if wanted, and then the same lines through Nightshift. */
export interface RunOptions extends InputShape {
  latencyMs: number;
  sigma: number;
  /** Requests that the upstream works on at a time, the others wait in its queue; null for all of them. */
  capacity: number | null;
  /** Requests in flight, over all workers. */
  inFlight: number;
  workers: number;
  /** Batches of about the same length that the lines are split over. */
  batches: number;
  /** Clients that read the status of the batches meanwhile; null for none. */
  polling: { clients: number; everyMs: number } | null;
  bare: boolean;
  /** Lines of a batch that runs before, so that the limiter knows the upstream; 0 for none. */
  warmLines: number;
  /** Sends a one-line batch of another tenant after the first answers. */
  behind: boolean;
  linesPerActivity: number | null;
  store: 'minio' | 'embedded';
}

export interface RunFigures {
  bare: { seconds: number; use: UpstreamUse } | null;
  uploadSeconds: number;
  /** From the answer to the (first) creation until the status read is `completed`, of all batches. */
  wholeSeconds: number;
  /** From the answer to the creation until a request reaches the upstream. */
  firstRequestSeconds: number;
  /** From the last answer of the upstream until the status read is `completed`. */
  endingSeconds: number;
  use: UpstreamUse;
  /** From the creation of the one-line batch to its answer. */
  behindSeconds: number | null;
  reads: ReadTimes | null;
  temporal: TemporalCost;
  workers: ProcessCost[];
  others: Record<string, ProcessCost>;
  /** From the creation until the status read is `completed`. */
  memory: MemoryOverTime;
}

export async function measureRun(options: RunOptions): Promise<RunFigures> {
  const { lines, inFlight, capacity } = options;
  const places = Math.min(inFlight, capacity ?? inFlight);
  const [ownShare, ...shares] = sharesInFlight(inFlight, options.workers);
  await using stack = await startStack({
    env: { ...environment(options), ...ownShare },
    upstream: upstreamFlags(options),
    store: options.store,
  });
  const directory = await mkdtemp(join(tmpdir(), 'nightshift-bench-'));
  try {
    const workers = await startWorkers(stack, shares);
    const { url } = stack.upstream;
    const bareSeconds = options.bare ? await bareLoop(url, options, inFlight) : null;
    const bare = bareSeconds === null ? null : { seconds: bareSeconds, use: upstreamUse(await readLoad(url), places) };

    const client = stack.client();
    if (options.warmLines > 0) {
      const warm = { ...options, lines: options.warmLines, longLineBytes: null };
      const { fileIds } = await uploadLines(stack.origin, directory, warm, 1);
      await whenEnded(client, await createBatches(client, fileIds));
    }
    const { fileIds, seconds: uploadSeconds } = await uploadLines(stack.origin, directory, options, options.batches);
    await forgetLoad(url);
    await using memory = watchMemory({
      ...Object.fromEntries(workers.map(({ child }, at) => [at === 0 ? 'worker' : `worker ${at + 1}`, child.pid])),
      api: stack.api.child.pid,
      temporal: stack.temporal.process.pid,
      ...(options.store === 'minio' ? { minio: stack.minio.process.pid } : {}),
    });
    let createdMs = 0;
    const ids = await createBatches(client, fileIds, () => (createdMs ||= unixMs()));
    const [first = ''] = ids;
    await using pollers = options.polling && startPollers({ origin: stack.origin, apiKey: 'key-a', batchIds: ids, ...options.polling });
    const behindSeconds = options.behind ? await oneLineBehind(stack, options, first) : null;
    await whenAnswered(client, url, ids, lines);
    const [batches, reads] = await Promise.all([whenEnded(client, ids), pollers?.stop() ?? null]);
    const endedMs = unixMs();
    const memoryOverTime = await memory.stop();
    const load = await readLoad(url);

    const seen = seenLines(lines);
    for (const { output_file_id: output } of batches) if (output) await seen.read(client, output);
    const statuses = [...new Set(batches.map(({ status }) => status))].join(', ');
    if (statuses !== 'completed' || seen.count !== lines) throw new Error(`${statuses} with ${seen.count} of ${lines} lines`);
    return {
      bare,
      uploadSeconds,
      wholeSeconds: (endedMs - createdMs) / 1000,
      firstRequestSeconds: ((load.firstArrivalMs ?? 0) - createdMs) / 1000,
      endingSeconds: (endedMs - (load.lastEndMs ?? 0)) / 1000,
      use: upstreamUse(load, places),
      behindSeconds,
      reads,
      temporal: await temporalCost(stack.temporal.address, ids),
      workers: await Promise.all(workers.map(async ({ child }) => await processCost(child.pid))),
      others: {
        api: await processCost(stack.api.child.pid),
        temporal: await processCost(stack.temporal.process.pid),
        ...(options.store === 'minio' ? { minio: await processCost(stack.minio.process.pid) } : {}),
        'example upstream': await processCost(stack.upstream.child.pid),
      },
      memory: memoryOverTime,
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function environment({ inFlight, linesPerActivity }: RunOptions): Record<string, string> {
  return {
    ...WIDE_LIMITS,
    NIGHTSHIFT_MAX_IN_FLIGHT_PER_BATCH: String(inFlight),
    NIGHTSHIFT_LOG_LEVEL: 'warn',
    ...(linesPerActivity === null ? {} : { NIGHTSHIFT_LINES_PER_ACTIVITY: String(linesPerActivity) }),
  };
}

function upstreamFlags({ latencyMs, sigma, capacity }: RunOptions): string[] {
  return ['--latency', String(latencyMs), '--sigma', String(sigma), ...(capacity === null ? [] : ['--capacity', String(capacity)])];
}

/** The clock of the example upstream's load. */
function unixMs(): number {
  return performance.timeOrigin + performance.now();
}

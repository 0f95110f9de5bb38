import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type OpenAI from 'openai';
import { submit } from '../../test/helpers/lines.ts';
import { type Stack, startStack } from '../../test/helpers/stack.ts';
import { until } from '../../test/helpers/until.ts';
import { bareLoop } from './bare-loop.ts';
import { inputLine, type InputShape, writeInput } from './input-file.ts';
import { type ProcessCost, processCost } from './process-cost.ts';
import { seenLines } from './results.ts';
import { type TemporalCost, temporalCost } from './temporal-cost.ts';
import { forgetLoad, readLoad, type UpstreamUse, upstreamUse } from './upstream-use.ts';

/** One run: a fresh stack, the bare loop if wanted, and then the same lines through Nightshift. */
export interface RunOptions extends InputShape {
  latencyMs: number;
  sigma: number;
  /** Requests in flight, over all workers. */
  inFlight: number;
  bare: boolean;
  /** Sends a one-line batch of another tenant after the first answers. */
  behind: boolean;
  linesPerActivity: number | null;
}

export interface RunFigures {
  bare: { seconds: number; use: UpstreamUse } | null;
  uploadSeconds: number;
  /** From the answer to the creation until the status read is `completed`. */
  wholeSeconds: number;
  /** From the answer to the creation until a request reaches the upstream. */
  firstRequestSeconds: number;
  /** From the last answer of the upstream until the status read is `completed`. */
  endingSeconds: number;
  use: UpstreamUse;
  /** From the creation of the one-line batch to its answer. */
  behindSeconds: number | null;
  temporal: TemporalCost;
  costs: Record<string, ProcessCost>;
}

export async function measureRun(options: RunOptions): Promise<RunFigures> {
  const { lines, inFlight } = options;
  const directory = await mkdtemp(join(tmpdir(), 'nightshift-bench-'));
  await using stack = await startStack({ env: environment(options), upstream: upstreamFlags(options) });
  try {
    const { url } = stack.upstream;
    await forgetLoad(url);
    const bareSeconds = options.bare ? await bareLoop(url, options, inFlight) : null;
    const bare = bareSeconds === null ? null : { seconds: bareSeconds, use: upstreamUse(await readLoad(url), inFlight) };

    const client = stack.client();
    const input = join(directory, 'input.jsonl');
    await writeInput(input, options, 0, lines);
    const uploadMs = performance.now();
    const file = await client.files.create({ file: createReadStream(input), purpose: 'batch' });
    const uploadSeconds = (performance.now() - uploadMs) / 1000;

    await forgetLoad(url);
    const { id } = await client.batches.create({ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' });
    const createdMs = unixMs();
    const behindSeconds = options.behind ? await oneLineBehind(stack, options, id) : null;
    const batch = await whenEnded(client, url, id, lines);
    const endedMs = unixMs();
    const load = await readLoad(url);

    const seen = seenLines(lines);
    if (batch.output_file_id) await seen.read(client, batch.output_file_id);
    if (batch.status !== 'completed' || seen.count !== lines) throw new Error(`${batch.status} with ${seen.count} of ${lines} lines`);
    return {
      bare,
      uploadSeconds,
      wholeSeconds: (endedMs - createdMs) / 1000,
      firstRequestSeconds: ((load.firstArrivalMs ?? 0) - createdMs) / 1000,
      endingSeconds: (endedMs - (load.lastEndMs ?? 0)) / 1000,
      use: upstreamUse(load, inFlight),
      behindSeconds,
      temporal: await temporalCost(stack.temporal.address, [id]),
      costs: {
        api: await processCost(stack.api.child.pid),
        worker: await processCost(stack.worker.child.pid),
        temporal: await processCost(stack.temporal.process.pid),
        minio: await processCost(stack.minio.process.pid),
        'example upstream': await processCost(stack.upstream.child.pid),
      },
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function environment({ inFlight, linesPerActivity }: RunOptions): Record<string, string> {
  return {
    NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: String(inFlight),
    NIGHTSHIFT_MAX_IN_FLIGHT_PER_BATCH: String(inFlight),
    NIGHTSHIFT_MAX_REQUESTS_PER_BATCH: '10000000',
    NIGHTSHIFT_MAX_BATCH_INPUT_BYTES: '80000000000',
    NIGHTSHIFT_MAX_UPLOAD_BYTES: '80000000000',
    NIGHTSHIFT_LOG_LEVEL: 'warn',
    ...(linesPerActivity === null ? {} : { NIGHTSHIFT_LINES_PER_ACTIVITY: String(linesPerActivity) }),
  };
}

function upstreamFlags({ latencyMs, sigma }: RunOptions): string[] {
  return ['--latency', String(latencyMs), '--sigma', String(sigma)];
}

const RUNNING = new Set(['validating', 'in_progress', 'finalizing', 'cancelling']);
/** How often the status is read while the upstream still answers, and then. */
const [WAITING_MS, ENDING_MS] = [1000, 50];

/** Reads the status like a client that waits, and often once the upstream has answered all lines. */
async function whenEnded(client: OpenAI, upstreamUrl: string, id: string, lines: number): Promise<OpenAI.Batch> {
  let readMs = 0;
  return await until(
    async () => {
      const everyMs = (await readLoad(upstreamUrl)).ended >= lines ? ENDING_MS : WAITING_MS;
      if (performance.now() - readMs < everyMs) return null;
      readMs = performance.now();
      const batch = await client.batches.retrieve(id);
      return RUNNING.has(batch.status) ? null : batch;
    },
    { what: `batch ${id} to end`, seconds: 24 * 3600, everyMs: ENDING_MS },
  );
}

/** Seconds from creation to the answer of a one-line batch of another tenant, once the big one is under way. */
async function oneLineBehind(stack: Stack, shape: InputShape, id: string): Promise<number> {
  const [client, other] = [stack.client(), stack.client('key-b')];
  const underWay = async () => ((await client.batches.retrieve(id)).request_counts?.completed ?? 0) > 0;
  await until(underWay, { what: 'the first answers', seconds: 120 });
  const beginMs = performance.now();
  const batch = await submit(other, inputLine(shape, 0));
  const isAnswered = async () => (await other.batches.retrieve(batch.id)).request_counts?.completed === 1;
  await until(isAnswered, { what: 'the one line', seconds: 120 });
  return (performance.now() - beginMs) / 1000;
}

/** The clock of the example upstream's load. */
function unixMs(): number {
  return performance.timeOrigin + performance.now();
}

/**
 * How soon half-done batches send at full speed again after Temporal's database is lost: many batches, one line per activity, answers of
 * some seconds. Temporal ends in the middle and starts again with an empty database; API, worker and bucket stay.
 * `npm run bench:recovery -- --batches 100 --lines 40 --latency 5000 --in-flight 128`; `--workers 2` runs so many worker processes.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createMinioObjectStore } from '../src/storage/minio-object-store.ts';
import { TEMPORAL_FLAGS } from '../src/processes/local/temporal-flags.ts';
import { prefixes } from '../src/storage/keys.ts';
import { startTemporal } from '../test/helpers/servers.ts';
import { type Stack, startStack } from '../test/helpers/stack.ts';
import { until } from '../test/helpers/until.ts';
import { createBatches, uploadLines, whenEnded } from './run/batches.ts';
import { describeMachine } from './run/machine.ts';
import { readLoad } from './run/upstream-use.ts';
import { sharesInFlight, startWorkers } from './run/workers.ts';

const { values } = parseArgs({
  options: {
    batches: { type: 'string', default: '100' },
    lines: { type: 'string', default: '40' },
    latency: { type: 'string', default: '5000' },
    sigma: { type: 'string', default: '0.5' },
    'in-flight': { type: 'string', default: '128' },
    bytes: { type: 'string', default: '400' },
    workers: { type: 'string', default: '1' },
  },
});
const [batches, lines] = [Number(values.batches), Number(values.lines)];
const [workers, inFlight] = [Number(values.workers), Number(values['in-flight'])];
const total = batches * lines;
/** Full speed is so much of the number in flight before the loss. */
const FULL = 0.9;
const SAMPLE_MS = 250;
/** Samples before the loss, and samples in a row at full speed after it: one could be luck. */
const [SAMPLES_BEFORE, SAMPLES_AT_FULL_SPEED] = [20, 8];

const [ownShare, ...shares] = sharesInFlight(inFlight, workers);
const machine = describeMachine();
await using stack = await startStack({
  env: { ...ownShare, NIGHTSHIFT_LINES_PER_ACTIVITY: '1', NIGHTSHIFT_LOG_LEVEL: 'warn', NIGHTSHIFT_HEARTBEAT_TIMEOUT_SECONDS: '30' },
  upstream: ['--latency', values.latency, '--sigma', values.sigma],
});
await startWorkers(stack, shares);
const { url } = stack.upstream;
const client = stack.client();

console.log(
  `${batches} batches of ${lines} lines, one line per activity, answers of ${values.latency} ms (sigma ${values.sigma}), ` +
    `${inFlight} in flight, ${workers} worker processes; ${machine}`,
);
const startedMs = performance.now();
const ids = await createBatches(client, await inputs());
const before = await meanInFlightUntilHalf();
tell('half of the lines are answered');
const answered = (await readLoad(url)).ended;
const pieces = await countPieces(stack, ids);

await stack.temporal[Symbol.asyncDispose]();
await using _temporal = await startTemporal(TEMPORAL_FLAGS, Number(stack.temporal.address.split(':')[1]));
const emptyMs = performance.now();
tell('an empty Temporal has started');
const secondsSince = () => round((performance.now() - emptyMs) / 1_000);
// What was in flight ends first. Then the first request of a batch that was started again begins the recovery.
await until(async () => inFlightOf(await readLoad(url)) < before / 10, { what: 'the upstream to rest', seconds: 600, everyMs: SAMPLE_MS });
const restSeconds = secondsSince();
tell('the upstream is at rest');
const { arrived } = await readLoad(url);
await until(async () => (await readLoad(url)).arrived > arrived, { what: 'the first request', seconds: 600, everyMs: SAMPLE_MS });
const firstSeconds = secondsSince();
tell('the first request of a batch that was started again has arrived');
await untilFullSpeed(before);
const fullSeconds = secondsSince();
tell('as many requests are in flight as before');
const ended = await whenEnded(client, ids);
const { arrived: sent } = await readLoad(url);

console.table({
  'in flight before the loss': round(before),
  'answered before the loss': answered,
  'pieces for them': pieces,
  'pieces per line': round(pieces / answered),
  'upstream at rest, s after the empty Temporal started': restSeconds,
  'first request, s': firstSeconds,
  [`${FULL * 100} % of before in flight, s`]: fullSeconds,
  'of it from the first request, s': round(fullSeconds - firstSeconds),
  'all batches ended, s': secondsSince(),
  'lines sent twice': sent - total,
  'batches not completed': ended.filter(({ status }) => status !== 'completed').length,
});

/** The file of each batch: all of them take the same one. */
async function inputs(): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'nightshift-bench-'));
  try {
    const { fileIds } = await uploadLines(stack.origin, directory, { lines, bytes: Number(values.bytes), longLineBytes: null }, 1);
    return Array.from({ length: batches }, () => fileIds[0] ?? '');
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function countPieces({ minio, env }: Stack, batchIds: readonly string[]): Promise<number> {
  const { endpoint, accessKey, secretKey } = minio;
  const bucket = env['NIGHTSHIFT_S3_BUCKET'] ?? '';
  const store = createMinioObjectStore({ endpoint, bucket, accessKey, secretKey, region: 'us-east-1' });
  let count = 0;
  for (const id of batchIds) for await (const _ of store.list(`${prefixes.work}${id}/shard-`)) count += 1;
  store.close();
  return count;
}

/** Of the last samples before half of the lines are answered. */
async function meanInFlightUntilHalf(): Promise<number> {
  const samples: number[] = [];
  const isHalf = async () => {
    const load = await readLoad(url);
    samples.push(inFlightOf(load));
    return load.ended >= total / 2;
  };
  await until(isHalf, { what: 'half of the answers', seconds: 3_600, everyMs: SAMPLE_MS });
  const last = samples.slice(-SAMPLES_BEFORE);
  return last.reduce((sum, sample) => sum + sample, 0) / last.length;
}

async function untilFullSpeed(wanted: number): Promise<void> {
  let inARow = 0;
  const isFull = async () => {
    inARow = inFlightOf(await readLoad(url)) >= FULL * wanted ? inARow + 1 : 0;
    return inARow >= SAMPLES_AT_FULL_SPEED;
  };
  await until(isFull, { what: 'full speed', seconds: 1_200, everyMs: SAMPLE_MS });
}

function inFlightOf({ arrived: all, ended: over }: { arrived: number; ended: number }): number {
  return all - over;
}

/** A run takes minutes. */
function tell(what: string): void {
  console.log(`${String(Math.round((performance.now() - startedMs) / 1_000)).padStart(5)} s: ${what}`);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

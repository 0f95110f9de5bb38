/**
 * Many open batches of one tenant: what they cost while they wait, how soon a one-line batch of another tenant is sent behind them,
 * and how soon the upstream is full again after Temporal's database is lost.
 * `npm run bench:open -- --batches 10000 --lines 20 --latency 5000 --in-flight 64`; `--bytes 8000` makes lines of that size.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { TEMPORAL_FLAGS } from '../src/processes/local/temporal-flags.ts';
import { chatLine, ended, submit } from '../test/helpers/lines.ts';
import { startTemporal } from '../test/helpers/servers.ts';
import { startStack } from '../test/helpers/stack.ts';
import { until } from '../test/helpers/until.ts';
import { createBatches, uploadLines } from './run/batches.ts';
import { describeMachine } from './run/machine.ts';
import { memoryMb, processCost } from './run/process-cost.ts';
import { readLoad } from './run/upstream-use.ts';

const { values } = parseArgs({
  options: {
    batches: { type: 'string', default: '10000' },
    lines: { type: 'string', default: '20' },
    latency: { type: 'string', default: '5000' },
    /** Of log-normal answers. Answers of one length would come in waves, and places would free only with each wave. */
    sigma: { type: 'string', default: '0.5' },
    'in-flight': { type: 'string', default: '64' },
    bytes: { type: 'string', default: '400' },
    /** Seconds over which the cost of waiting is measured. */
    seconds: { type: 'string', default: '30' },
  },
});
const [batches, inFlight, seconds] = [Number(values.batches), Number(values['in-flight']), Number(values.seconds)];
/** Creates at a time. */
const LANES = 8;
/** The upstream is full with so much of what may be in flight. */
const FULL = 0.9;

await using stack = await startStack({
  env: {
    NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: String(inFlight),
    NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
    NIGHTSHIFT_LOG_LEVEL: 'warn',
    NIGHTSHIFT_HEARTBEAT_TIMEOUT_SECONDS: '30',
    NIGHTSHIFT_SWEEP_MIN_AGE_SECONDS: '60',
  },
  upstream: ['--latency', values.latency, '--sigma', values.sigma],
});
const { url } = stack.upstream;
console.log(
  `${batches} batches of ${values.lines} lines of ${values.bytes} bytes, answers of ${values.latency} ms (sigma ${values.sigma}), ${inFlight} in flight; ${describeMachine()}`,
);
const figures: Record<string, number | string> = {};
let temporal = await connect();

const fileId = await upload();
const beginMs = performance.now();
await createAll(fileId);
figures['created, per second'] = round(batches / secondsFrom(beginMs));
await until(async () => !(await isValidating()), { what: 'the batches to be validated', seconds: 1_800, everyMs: 1_000 });
figures['created and validated, s'] = secondsFrom(beginMs);
figures['workflows open'] = await workflows();
await measure('while they wait');

const otherMs = performance.now();
const other = stack.client('key-b');
const { id } = await submit(other, chatLine('one', 'marker=other-tenant;delay=10'));
await until(async () => ((await stack.upstream.calls())['other-tenant'] ?? null) !== null, {
  what: 'the one line',
  seconds: 120,
  everyMs: 20,
});
figures['one-line batch of another tenant: sent after, s'] = secondsFrom(otherMs);
await ended(other, id);
figures['and completed after, s'] = secondsFrom(otherMs);

await temporal.connection.close();
await stack.temporal[Symbol.asyncDispose]();
await using lost = await startTemporal(TEMPORAL_FLAGS, Number(stack.temporal.address.split(':')[1]));
const lostMs = performance.now();
temporal = await connect();
await until(async () => inFlightNow(await readLoad(url)) < inFlight / 10, { what: 'the upstream to rest', seconds: 300, everyMs: 100 });
await until(async () => inFlightNow(await readLoad(url)) >= FULL * inFlight, {
  what: 'the upstream to be full',
  seconds: 900,
  everyMs: 100,
});
figures['Temporal lost: upstream full again after, s'] = secondsFrom(lostMs);
await until(async () => (await running()) >= batches * FULL, { what: 'the batches to be started again', seconds: 1_800, everyMs: 1_000 });
figures['and nine of ten batches running again after, s'] = secondsFrom(lostMs);
await measure('after that', lost.process.pid);
await temporal.connection.close();
console.table(figures);

async function connect() {
  const connection = await Connection.connect({ address: stack.temporal.address });
  return new Client({ connection });
}

async function upload(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'nightshift-bench-'));
  try {
    const shape = { lines: Number(values.lines), bytes: Number(values.bytes), longLineBytes: null };
    return (await uploadLines(stack.origin, directory, shape, 1)).fileIds[0] ?? '';
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function createAll(file: string): Promise<void> {
  const client = stack.client();
  const share = (lane: number) => Math.floor((batches * (lane + 1)) / LANES) - Math.floor((batches * lane) / LANES);
  await Promise.all(
    Array.from(
      { length: LANES },
      async (_, lane) =>
        await createBatches(
          client,
          Array.from({ length: share(lane) }, () => file),
        ),
    ),
  );
}

/** Whether any batch is still to be validated. */
async function isValidating(): Promise<boolean> {
  const answer = await fetch(`${stack.baseURL}/batches?status=validating&limit=1`, { headers: { authorization: 'Bearer key-a' } });
  return Object(await answer.json()).data.length > 0;
}

async function running(): Promise<number> {
  return (await temporal.workflow.count("WorkflowType = 'batch' AND ExecutionStatus = 'Running'")).count;
}

async function workflows(): Promise<string> {
  const counts = await Promise.all(
    ['batch', 'shard', 'queue'].map(async (type) => {
      const { count } = await temporal.workflow.count(`WorkflowType = '${type}' AND ExecutionStatus = 'Running'`);
      return `${count} ${type}`;
    }),
  );
  return counts.join(', ');
}

/** CPU of each process as a share of one core, and its memory, over some seconds. */
async function measure(when: string, temporalPid = stack.temporal.process.pid): Promise<void> {
  const pids = { worker: stack.worker.child.pid, API: stack.api.child.pid, Temporal: temporalPid, MinIO: stack.minio.process.pid };
  const before = await Promise.all(Object.values(pids).map(async (pid) => (await processCost(pid)).cpuSeconds));
  await delay(seconds * 1_000);
  for (const [index, [name, pid]] of Object.entries(pids).entries()) {
    const { cpuSeconds } = await processCost(pid);
    const share = (100 * (cpuSeconds - (before[index] ?? 0))) / seconds;
    figures[`${name} ${when}`] = `${Math.round(share)} % of a core, ${await memoryMb(pid, 'VmRSS')} MB`;
  }
}

function inFlightNow({ arrived, ended: over }: { arrived: number; ended: number }): number {
  return arrived - over;
}

function secondsFrom(ms: number): number {
  return round((performance.now() - ms) / 1_000);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

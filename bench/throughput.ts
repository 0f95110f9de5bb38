/**
 * One run, everything on this machine: a bare undici loop against the example upstream, then Nightshift on the same
 * lines: the ratio of the two, how full each kept the upstream, what it cost in Temporal, and what each process cost.
 * `npm run bench -- --lines 10000 --latency 50 --in-flight 256`; `--sigma 1` makes the time of an answer log-normal,
 * `--capacity 32` has the upstream work on so many at a time and queue the rest, as vLLM does,
 * `--warm 3000` runs a batch of so many lines before (0: a worker that has just started), `--behind` sends a one-line batch of another tenant after it, `--long-line BYTES` puts one such line in the middle,
 * `--store embedded` runs without MinIO, `--workers 2` runs so many worker processes, `--polling` has 100 clients read the status of 20 batches that share the lines.
 */
import { parseArgs } from 'node:util';
import { describeMachine } from './run/machine.ts';
import { measureRun } from './run/measure-run.ts';
import type { ProcessCost } from './run/process-cost.ts';
import type { UpstreamUse } from './run/upstream-use.ts';

const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '10000' },
    latency: { type: 'string', default: '50' },
    sigma: { type: 'string', default: '0' },
    behind: { type: 'boolean', default: false },
    warm: { type: 'string', default: '3000' },
    workers: { type: 'string', default: '1' },
    polling: { type: 'boolean', default: false },
    'poll-every': { type: 'string', default: '1000' },
    'poll-clients': { type: 'string', default: '100' },
    'in-flight': { type: 'string', default: '256' },
    capacity: { type: 'string' },
    bytes: { type: 'string', default: '400' },
    'long-line': { type: 'string' },
    'lines-per-activity': { type: 'string' },
    store: { type: 'string', default: 'minio' },
  },
});
const lines = Number(values.lines);
const inFlight = Number(values['in-flight']);
const workers = Number(values.workers);
const batches = values.polling ? 20 : 1;
const machine = describeMachine();

const figures = await measureRun({
  lines,
  inFlight,
  bytes: Number(values.bytes),
  longLineBytes: values['long-line'] === undefined ? null : Number(values['long-line']),
  latencyMs: Number(values.latency),
  sigma: Number(values.sigma),
  capacity: values.capacity === undefined ? null : Number(values.capacity),
  workers,
  batches,
  polling: values.polling ? { clients: Number(values['poll-clients']), everyMs: Number(values['poll-every']) } : null,
  bare: true,
  warmLines: Number(values.warm),
  behind: values.behind,
  linesPerActivity: values['lines-per-activity'] === undefined ? null : Number(values['lines-per-activity']),
  store: values.store === 'embedded' ? 'embedded' : 'minio',
});
const { bare, reads, temporal } = figures;

console.log(
  `\n${lines} lines in ${batches === 1 ? 'one batch' : `${batches} batches`} of about ${values.bytes} bytes, ${values.latency} ms upstream (sigma ${values.sigma}${values.capacity === undefined ? '' : `, ${values.capacity} at a time`}), ${inFlight} in flight` +
    `${workers === 1 ? '' : ` shared evenly by ${workers} worker processes`};` +
    `${values.store === 'embedded' ? ' embedded store;' : ''} ${machine} before it\n`,
);
const rate = (seconds: number) => ({ seconds: round(seconds), rate: `${Math.round(lines / seconds)}/s` });
console.table({
  ...(bare === null ? {} : { 'bare undici loop': { ...rate(bare.seconds), ratio: 1 } }),
  'Nightshift, create to completed': { ...rate(figures.wholeSeconds), ratio: round((bare?.seconds ?? NaN) / figures.wholeSeconds) },
});

console.log('\nWhile lines remained: from the first request until the last one had arrived at the upstream');
console.table({
  ...(bare === null ? {} : { 'bare undici loop': useRow(bare.use) }),
  Nightshift: useRow(figures.use),
});

console.log(`\nupload: ${round(figures.uploadSeconds)} s`);
console.log(`creation answered to first upstream request: ${round(figures.firstRequestSeconds)} s`);
console.log(`last upstream answer to \`completed\` seen (read every 50 ms): ${round(figures.endingSeconds)} s`);
if (figures.behindSeconds !== null)
  console.log(`one line of another tenant behind it: answered ${round(figures.behindSeconds)} s after its creation`);

if (reads !== null) {
  console.log(`\n${values['poll-clients']} clients read the status of ${batches} running batches, each every ${values['poll-every']} ms`);
  const { reads: count, seconds, errors } = reads;
  console.table({
    'reads per second': round(count / seconds),
    'p50 ms': round(reads.p50Ms),
    'p99 ms': round(reads.p99Ms),
    'max ms': round(reads.maxMs),
    reads: count,
    'answers other than 200': errors,
  });
}

console.log('\nTemporal, from the histories; actions as Temporal Cloud bills them, queries of status reads not counted');
console.table({
  'workflow runs': temporal.runs,
  activities: temporal.activities,
  events: temporal.events,
  'events per request': exact(temporal.events / lines),
  actions: temporal.actions,
  'of them heartbeats, estimated': temporal.heartbeats,
  'actions per request': exact(temporal.actions / lines),
  'events of the longest run': temporal.longestRun,
});

console.table(
  Object.fromEntries(Object.entries({ ...workerCosts(figures.workers), ...figures.others }).map(([name, cost]) => [name, costRow(cost)])),
);

console.log('\nResident memory, MB: the largest reading in each tenth of the time from creation to completed');
console.table(
  Object.fromEntries(
    Object.entries(figures.memory).map(([name, parts]) => [name, Object.fromEntries(parts.map((mb, part) => [`${part + 1}/10`, mb]))]),
  ),
);

function useRow(use: UpstreamUse): Record<string, number | string> {
  return {
    seconds: round(use.seconds),
    'mean in flight': round(use.meanInFlight),
    'of the limit': round(use.meanInFlight / inFlight),
    'mean answer ms': round(use.meanAnswerMs),
    rate: `${Math.round(use.perSecond)}/s`,
    'of places ÷ mean answer': round(use.shareOfIdeal),
  };
}

function workerCosts(costs: readonly ProcessCost[]): Record<string, ProcessCost> {
  const [only] = costs;
  if (costs.length === 1 && only !== undefined) return { worker: only };
  const [rss, cpu] = [costs.map(({ peakRssMb }) => peakRssMb), costs.map(({ cpuSeconds }) => cpuSeconds)];
  const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
  return {
    [`${costs.length} workers together`]: { peakRssMb: sum(rss), cpuSeconds: sum(cpu) },
    'the largest of them': { peakRssMb: Math.max(...rss), cpuSeconds: Math.max(...cpu) },
  };
}

function costRow({ peakRssMb, cpuSeconds }: ProcessCost): Record<string, number> {
  return { 'peak RSS MB': peakRssMb, 'CPU s': round(cpuSeconds) };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Three digits that say something, for what may be far below one. */
function exact(value: number): number {
  return Number(value.toPrecision(3));
}

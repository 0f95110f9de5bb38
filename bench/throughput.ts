/**
 * One run, everything on this machine: a bare undici loop against the example upstream, then Nightshift on the same
 * lines, the ratio of the two, and what each process cost. `npm run bench -- --lines 10000 --latency 50 --in-flight 256`;
 * `--sigma 1` makes the time of an answer log-normal, `--behind` sends a one-line batch of another tenant after it.
 */
import { readFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { ended, resultLines, submit } from '../test/helpers/lines.ts';
import { startStack } from '../test/helpers/stack.ts';
import { until } from '../test/helpers/until.ts';

const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '10000' },
    latency: { type: 'string', default: '50' },
    sigma: { type: 'string', default: '0' },
    behind: { type: 'boolean', default: false },
    'in-flight': { type: 'string', default: '256' },
    bytes: { type: 'string', default: '400' },
    'lines-per-activity': { type: 'string' },
  },
});
const lines = Number(values.lines);
const inFlight = Number(values['in-flight']);

const body = (index: number) => ({
  model: 'example-model',
  messages: [{ role: 'user', content: `Say ${index} `.padEnd(Number(values.bytes), 'x') }],
});
const text = Array.from({ length: lines }, (_, index) =>
  JSON.stringify({ custom_id: `line-${index}`, method: 'POST', url: '/v1/chat/completions', body: body(index) }),
).join('\n');

await using stack = await startStack({
  env: {
    NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: String(inFlight),
    NIGHTSHIFT_MAX_IN_FLIGHT_PER_BATCH: String(inFlight),
    NIGHTSHIFT_MAX_REQUESTS_PER_BATCH: '1000000',
    NIGHTSHIFT_LOG_LEVEL: 'warn',
    ...(values['lines-per-activity'] === undefined ? {} : { NIGHTSHIFT_LINES_PER_ACTIVITY: values['lines-per-activity'] }),
  },
  upstream: ['--latency', values.latency, '--sigma', values.sigma],
});
const client = stack.client();

const bareSeconds = await bareLoop(lines, inFlight);

const started = performance.now();
const created = await submit(client, text);
const createdAt = performance.now();
const behind = values.behind ? await oneLineBehind() : null;
const batch = await ended(client, created.id, 3600);
const wholeSeconds = (performance.now() - createdAt) / 1000;
const output = await resultLines(client, batch.output_file_id);
if (batch.status !== 'completed' || output.length !== lines) throw new Error(`${batch.status} with ${output.length} of ${lines} lines`);

const rate = (seconds: number) => `${Math.round(lines / seconds)}/s`;
console.log(
  `\n${lines} lines of about ${values.bytes} bytes, ${values.latency} ms upstream, ${inFlight} in flight; ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}\n`,
);
console.table({
  'bare undici loop': { seconds: round(bareSeconds), rate: rate(bareSeconds), ratio: 1 },
  'Nightshift, create to completed': { seconds: round(wholeSeconds), rate: rate(wholeSeconds), ratio: round(bareSeconds / wholeSeconds) },
});
if (behind !== null) console.log(`one line of another tenant behind it: answered ${round(behind)} s after its creation`);
console.log(`upload took ${round((createdAt - started) / 1000)} s`);
console.table({
  api: await cost(stack.api.child.pid),
  worker: await cost(stack.worker.child.pid),
  temporal: await cost(stack.temporal.process.pid),
  minio: await cost(stack.minio.process.pid),
  'example upstream': await cost(stack.upstream.child.pid),
});

/** Seconds for `count` requests with `width` in flight and nothing around them: what this machine can do. */
async function bareLoop(count: number, width: number): Promise<number> {
  const pool = new Pool(stack.upstream.url, { connections: width });
  let next = 0;
  const begin = performance.now();
  const lane = async () => {
    while (next < count) {
      const index = next++;
      const answer = await pool.request({
        path: '/v1/chat/completions',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body(index)),
      });
      await answer.body.arrayBuffer();
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  await pool.close();
  return (performance.now() - begin) / 1000;
}

/** Seconds from creation to the answer of a one-line batch of another tenant, once the big one is under way. */
async function oneLineBehind(): Promise<number> {
  const other = stack.client('key-b');
  await until(async () => ((await client.batches.retrieve(created.id)).request_counts?.completed ?? 0) > 0, {
    what: 'the first answers',
    seconds: 120,
  });
  const begin = performance.now();
  const { id } = await submit(other, text.slice(0, text.indexOf('\n')));
  await until(async () => (await other.batches.retrieve(id)).request_counts?.completed === 1, { what: 'the one line', seconds: 120 });
  return (performance.now() - begin) / 1000;
}

/** Peak resident memory and CPU time of a process, as Linux accounts them. */
async function cost(pid: number | undefined): Promise<{ 'peak RSS MB': number; 'CPU s': number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  const ticksPerSecond = 100;
  return {
    'peak RSS MB': Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024),
    'CPU s': round((Number(stat[11]) + Number(stat[12])) / ticksPerSecond),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

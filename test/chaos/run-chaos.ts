import { setTimeout as delay } from 'node:timers/promises';
import type OpenAI from 'openai';
import { until } from '../helpers/until.ts';
import { type Bucket, bucketOf } from './bucket.ts';
import type { Call } from './calls.ts';
import { checkBatch } from './check-batch.ts';
import { checkCalls } from './check-calls.ts';
import { type Client, createClient } from './client.ts';
import { runFaults } from './faults.ts';
import { type House, startHouse, TENANTS } from './house.ts';
import { leftovers, startADayLater } from './leftovers.ts';
import { type Deeds, runLoad } from './load.ts';
import { createRandom } from './random.ts';
import type { ChaosReport } from './report.ts';
import { listAll, watchBatches } from './watch-batches.ts';

const TELL_EVERY_MS = 10_000;
const TERMINAL: readonly string[] = ['completed', 'failed', 'expired', 'cancelled'];

/** One run: harms everything for so long, makes everything whole, lets all batches end, and looks whether anything is wrong. */
export async function runChaos({
  seed,
  seconds,
  print,
}: {
  seed: number;
  seconds: number;
  print: (line: string) => void;
}): Promise<ChaosReport> {
  await using house = await startHouse({
    env: {
      NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '24',
      NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '10',
      NIGHTSHIFT_COMPLETION_WINDOWS: '24h,20s',
      NIGHTSHIFT_UPSTREAM_REQUEST_TIMEOUT_SECONDS: '20',
    },
    upstreamFlags: ['--latency', '150', '--sigma', '0.5'],
  });
  const random = createRandom(seed);
  const client = createClient(house.origin);
  const bucket = bucketOf(house);
  const [harming, watching] = [new AbortController(), new AbortController()];

  const watch = watchBatches({ client, bucket, tenants: TENANTS, signal: watching.signal });
  const load = runLoad({ client, tenants: TENANTS, random: random.fork(), signal: harming.signal });
  const faults = runFaults({ house, random: random.fork(), signal: harming.signal, print });
  await delay(seconds * 1000);
  harming.abort();
  const [log, deeds] = await Promise.all([faults, load]);
  print('everything is whole again');
  const calm = await becomeCalm(client, (open) => print(`${open} batches are open, ${house.calls.length} calls sent`));
  watching.abort();
  const watched = await watch;

  const callsOf = Map.groupBy(house.calls, ({ key }: Call) => key);
  const complaints = [...calm.complaints, ...watched.complaints];
  const statuses = new Map<string, number>();
  let lines = 0;
  for (const [tenant, batches] of calm.batches) {
    for (const batch of batches) {
      statuses.set(batch.status, (statuses.get(batch.status) ?? 0) + 1);
      const input = deeds.inputs.get(batch.input_file_id);
      if (input === undefined) complaints.push(`${batch.id} has an input that nobody made`);
      else if (input.tenant !== tenant) complaints.push(`${batch.id} belongs to another tenant`);
      else {
        const checked = await checkBatch({ client, tenant, batch, input, callsOf, shards: watched.shardSums.get(batch.id) ?? null });
        complaints.push(...checked.complaints);
        lines += checked.lines;
      }
    }
  }
  complaints.push(...checkCreations(calm.batches, deeds));
  const calls = checkCalls(callsOf, log.harms);
  complaints.push(...calls.complaints);

  print('a day later');
  complaints.push(...(await leaveNothing(house, bucket, calm.batches, deeds, client)));
  complaints.push(...client.complaints);
  for (const part of [house.api, ...house.workers, house.temporal, house.minio]) complaints.push(...part.complaints);
  return { seed, seconds, faults: log, statuses, lines, deeds, calls, shardsCompared: watched.shardSums.size, complaints };
}

/** Waits until every batch of everybody has ended. */
async function becomeCalm(
  client: Client,
  tell: (openBatches: number) => void,
): Promise<{ batches: Map<string, OpenAI.Batch[]>; complaints: string[] }> {
  const batches = new Map<string, OpenAI.Batch[]>();
  const complaints: string[] = [];
  let toldAtMs = 0;
  const open = () => [...batches.values()].flat().filter(({ status }) => !TERMINAL.includes(status));
  const look = async () => {
    for (const tenant of TENANTS) batches.set(tenant, await listAll<OpenAI.Batch>(client, tenant, '/v1/batches'));
    if (Date.now() - toldAtMs >= TELL_EVERY_MS) {
      toldAtMs = Date.now();
      tell(open().length);
    }
    return open().length === 0;
  };
  await until(async () => (await client.ask(TENANTS[0], 'GET', '/v1/batches'))?.status === 200, { what: 'the API', seconds: 60 });
  await until(look, { what: 'all batches to end', seconds: 400, everyMs: 1_000 }).catch(() => {
    complaints.push(...open().map((batch) => `${batch.id} does not end: ${JSON.stringify(batch)}`));
  });
  return { batches, complaints };
}

/** What was answered exists, and under an Idempotency-Key it exists once. */
function checkCreations(batches: ReadonlyMap<string, readonly OpenAI.Batch[]>, deeds: Deeds): string[] {
  const all = [...batches.values()].flat();
  const ids = new Set(all.map(({ id }) => id));
  const complaints = [...deeds.created.keys()].filter((id) => !ids.has(id)).map((id) => `${id} was answered and is not there`);
  const keys = all.flatMap(({ metadata }) => metadata?.['key'] ?? []);
  for (const key of deeds.idempotencyKeys) {
    const count = keys.filter((each) => each === key).length;
    if (count > 1) complaints.push(`${count} batches were made under the key ${key}`);
  }
  return complaints;
}

/** A day later the sweep has taken everything but files and records. */
async function leaveNothing(
  house: House,
  bucket: Bucket,
  batches: ReadonlyMap<string, readonly OpenAI.Batch[]>,
  deeds: Deeds,
  client: Client,
): Promise<string[]> {
  const complaints: string[] = [];
  for (const worker of house.workers) {
    const code = await worker.stop('SIGTERM');
    if (code !== 0) complaints.push(`${worker.name} ended with ${code} after SIGTERM, with nothing to do`);
  }
  const [worker] = house.workers;
  if (worker === undefined) return complaints;
  await startADayLater(worker);

  const wanted = new Set<string>();
  for (const tenant of TENANTS) {
    for (const file of await listAll<OpenAI.FileObject>(client, tenant, '/v1/files')) wanted.add(`content/${tenant}/${file.id}`);
  }
  const results = [...batches].flatMap(([tenant, some]) =>
    some.flatMap((batch) => [batch.output_file_id, batch.error_file_id].flatMap((id) => (id ? [`content/${tenant}/${id}`] : []))),
  );
  const inputs = [...deeds.inputs].filter(([id]) => !deeds.deletedFiles.has(id)).map(([id, { tenant }]) => `content/${tenant}/${id}`);
  for (const key of [...results, ...inputs]) if (!wanted.has(key)) complaints.push(`${key} is in no list of files`);
  // Uploads that nobody was told of are files all the same; result files are those of the batches and no others.
  const known = new Set(results);
  for (const tenant of TENANTS) {
    for (const file of await listAll<OpenAI.FileObject>(client, tenant, '/v1/files')) {
      if (file.purpose !== 'batch' && !known.has(`content/${tenant}/${file.id}`)) complaints.push(`${file.id} is a result of no batch`);
    }
  }
  const left = async () => {
    return [...(await leftovers(house, { below: ['work/', 'open/', 'uploads/', 'content/'], wanted })), ...(await bucket.halfUploads())];
  };
  await until(async () => (await left()).length === 0, { what: 'the sweep', seconds: 90, everyMs: 1_000 }).catch(async () => {
    complaints.push(...(await left()).map((key) => `left over: ${key}`));
  });
  for (const key of wanted) if ((await bucket.keys(key)).length === 0) complaints.push(`${key} is gone`);
  return complaints;
}

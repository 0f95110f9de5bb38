import { setTimeout as delay } from 'node:timers/promises';
import type OpenAI from 'openai';
import { until } from '../helpers/until.ts';
import { type Bucket, bucketOf } from './bucket.ts';
import { causesOf } from './call-causes.ts';
import { type Call, md5 } from './calls.ts';
import { checkBatch } from './check-batch.ts';
import { checkBucket, EMPTY_BELOW } from './check-bucket.ts';
import { CALL_TIMEOUT_SECONDS, checkCalls, ownFaults } from './check-calls.ts';
import { checkCreations, checkInputs } from './check-clients.ts';
import { checkEnd } from './check-end.ts';
import { TERMINAL } from './check-move.ts';
import { type Client, createClient } from './client.ts';
import { runFaults } from './faults.ts';
import { type House, startHouse, TENANTS } from './house.ts';
import { startADayLater } from './leftovers.ts';
import { type Deeds, runLoad } from './load.ts';
import { WINDOW_SECONDS } from './make-input.ts';
import { createRandom } from './random.ts';
import { readResults } from './read-results.ts';
import type { ChaosReport } from './report.ts';
import { tellStuck } from './stuck.ts';
import { listAll, watchBatches } from './watch-batches.ts';

const TELL_EVERY_MS = 10_000;
/** Five deaths on the wire and four before, each found out after half a minute, with up to a minute between. */
const POISON_SECONDS = 900;
const CALM_SECONDS = 400;
/** One seed in four plants a line that its worker dies of. */
const POISONED = 0.25;
/** In the body of that line. */
const POISON = 'its worker dies of it';

/** One run: harms everything for so long, makes everything whole, lets all batches end, and looks whether anything is wrong. */
export async function runChaos({
  seed,
  seconds,
  poisoned,
  lanes = 2,
  frozen = true,
  store = 'minio',
  print,
}: {
  seed: number;
  seconds: number;
  /** Whether a poisonous line is planted; the seed decides where it is not said. */
  poisoned?: boolean;
  /** Batches that each tenant has under way at a time. */
  lanes?: number;
  /** Runs a copy of the sources, which may change during a long run. */
  frozen?: boolean;
  store?: 'minio' | 'embedded';
  print: (line: string) => void;
}): Promise<ChaosReport> {
  const random = createRandom(seed);
  const isPoisoned = random.chance(POISONED);
  const poison = (poisoned ?? isPoisoned) ? POISON : null;
  await using house = await startHouse({
    env: {
      NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '24',
      // Slices of some lines: one for each line would be half of the work that the machine has with them.
      NIGHTSHIFT_ACTIVITIES_PER_SECOND: '40',
      NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '10',
      NIGHTSHIFT_COMPLETION_WINDOWS: Object.keys(WINDOW_SECONDS).join(),
      NIGHTSHIFT_UPSTREAM_REQUEST_TIMEOUT_SECONDS: String(CALL_TIMEOUT_SECONDS),
    },
    upstreamFlags: ['--latency', '150', '--sigma', '0.5'],
    poison,
    frozen,
    store,
  });
  const client = createClient(house.origin);
  const bucket = bucketOf(house);
  const [harming, watching] = [new AbortController(), new AbortController()];

  const watch = watchBatches({ client, bucket, tenants: TENANTS, signal: watching.signal });
  const load = runLoad({ client, tenants: TENANTS, random: random.fork(), poison, lanes, signal: harming.signal });
  const faults = runFaults({ house, random: random.fork(), signal: harming.signal, print });
  await delay(seconds * 1000);
  harming.abort();
  const [log, deeds] = await Promise.all([faults, load]);
  print('everything is whole again');
  const calm = await becomeCalm(house, client, poison === null ? CALM_SECONDS : POISON_SECONDS, print);
  watching.abort();
  const watched = await watch;

  const callsOf = Map.groupBy(house.calls, ({ key }: Call) => key);
  for (const { worker, atMs } of house.poisonings) log.lost(worker, atMs, atMs + 1_000, 'poison');
  const causes = causesOf(log, [...calm.batches.values()].flat(), deeds.inputs, performance.timeOrigin);
  const ownFaultsOf = (key: string) => ownFaults(callsOf.get(key) ?? [], key, causes);
  const complaints = [...calm.complaints, ...watched.complaints];
  const statuses = new Map<string, number>();
  let [lines, ran] = [0, 0];
  const endedByFaults: string[] = [];
  for (const [tenant, batches] of calm.batches) {
    for (const batch of batches) {
      statuses.set(batch.status, (statuses.get(batch.status) ?? 0) + 1);
      if (batch.in_progress_at) ran += 1;
      const input = deeds.inputs.get(batch.input_file_id);
      if (input === undefined) complaints.push(`${batch.id} has an input that nobody made`);
      else if (input.tenant !== tenant) complaints.push(`${batch.id} belongs to another tenant`);
      else {
        const results = await readResults(client, tenant, batch);
        const shards = watched.shardSums.get(batch.id) ?? null;
        const checked = checkBatch({ batch, results, input, callsOf, ownFaultsOf, shards });
        complaints.push(...checked.complaints, ...checkEnd(batch, input, deeds.cancels.get(batch.id) ?? []));
        lines += checked.lines;
        endedByFaults.push(...checked.endedByFaults);
      }
    }
  }
  complaints.push(...checkCreations(calm.batches, deeds));
  const calls = checkCalls(callsOf, causes);
  complaints.push(...calls.complaints, ...log.complaints);
  const shardsCompared = watched.shardSums.size;
  // What was not seen before the sweep took it cannot be compared, but a check that seldom looks is none.
  if (shardsCompared * 2 < ran) complaints.push(`the shard results of ${shardsCompared} batches of ${ran} were compared`);

  print('a day later');
  complaints.push(...(await leaveNothing(house, bucket, calm.batches, deeds, client)));
  complaints.push(...client.complaints, ...deeds.complaints);
  for (const part of [house.api, ...house.workers, house.temporal, house.minio]) complaints.push(...(part?.complaints ?? []));
  const poisonings = poison === null ? null : house.poisonings.length;
  return { seed, seconds, faults: log, statuses, lines, endedByFaults, deeds, poisonings, calls, ran, shardsCompared, complaints };
}

/** Waits until every batch of everybody has ended. */
async function becomeCalm(
  house: House,
  client: Client,
  seconds: number,
  print: (line: string) => void,
): Promise<{ batches: Map<string, OpenAI.Batch[]>; complaints: string[] }> {
  const batches = new Map<string, OpenAI.Batch[]>();
  const complaints: string[] = [];
  let toldAtMs = 0;
  const open = () => [...batches.values()].flat().filter(({ status }) => !TERMINAL.includes(status));
  const look = async () => {
    for (const tenant of TENANTS) batches.set(tenant, await listAll<OpenAI.Batch>(client, tenant, '/v1/batches'));
    if (Date.now() - toldAtMs >= TELL_EVERY_MS) {
      toldAtMs = Date.now();
      print(`${open().length} batches are open, ${house.calls.length} calls sent`);
    }
    return open().length === 0;
  };
  await until(async () => (await client.ask(TENANTS[0], 'GET', '/v1/batches'))?.status === 200, { what: 'the API', seconds: 60 });
  await until(look, { what: 'all batches to end', seconds, everyMs: 1_000 }).catch(async () => {
    complaints.push(...open().map((batch) => `${batch.id} does not end: ${JSON.stringify(batch)}`));
    complaints.push(...(await tellStuck(house, open()).catch((error: unknown) => [String(error)])));
  });
  return { batches, complaints };
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
    // One that was started just now could not hear the signal yet.
    await until(async () => await house.isWorking(worker), { what: `${worker.name} to be up` });
    const code = await worker.stop('SIGTERM');
    if (code !== 0) complaints.push(`${worker.name} ended with ${code} after SIGTERM, with nothing to do`);
  }
  const [worker] = house.workers;
  if (worker === undefined) return complaints;
  const files = new Map<string, OpenAI.FileObject[]>();
  const hashes = new Map<string, string>();
  for (const tenant of TENANTS) {
    files.set(tenant, await listAll<OpenAI.FileObject>(client, tenant, '/v1/files'));
    for (const { id, purpose } of files.get(tenant) ?? []) {
      if (purpose !== 'batch') continue;
      const content = await client.ask(tenant, 'GET', `/v1/files/${id}/content`);
      if (content?.status === 200) hashes.set(id, md5(content.bytes));
    }
  }
  complaints.push(...checkInputs([...files.values()].flat(), (id) => hashes.get(id) ?? null, deeds));
  await startADayLater(worker);

  const look = async () => {
    const keys = (await Promise.all(EMPTY_BELOW.map(async (prefix) => await bucket.keys(prefix)))).flat();
    return checkBucket({ files, batches, deeds, keys, halfUploads: await bucket.halfUploads() });
  };
  await until(async () => (await look()).left.length === 0, { what: 'the sweep', seconds: 90, everyMs: 1_000 }).catch(() => undefined);
  const { missing, left } = await look();
  return [...complaints, ...missing, ...left];
}

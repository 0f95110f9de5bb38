import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type OpenAI from 'openai';
import { type Call, md5 } from '../chaos/calls.ts';
import { checkBatch } from '../chaos/check-batch.ts';
import { type Client, createClient, jsonOf } from '../chaos/client.ts';
import { type House, startHouse } from '../chaos/house.ts';
import type { Input } from '../chaos/load.ts';
import { readResults } from '../chaos/read-results.ts';
import { until } from '../helpers/until.ts';
import { type Hold, type HoldingProxy, startHoldingProxy } from './holding-proxy.ts';
import { isBrief, type Moment, momentsOf, SECOND_PART } from './moments.ts';

/** A batch that has arrived at its moment and stands still there. */
export interface Scene {
  act: string;
  moment: Moment;
  tenant: string;
  input: Input;
  batch: OpenAI.Batch;
  hold: Hold;
}

/** What is done to batches; one comes to every moment, or to those chosen. */
export interface Act {
  act: string;
  /** A day by default. */
  window?: string;
  chosen?: (moment: Moment) => boolean;
}

/** A house with a holding proxy before its bucket, and batches that each stop at a moment of their own. */
export interface Stage extends AsyncDisposable {
  readonly house: House;
  readonly client: Client;
  readonly proxy: HoldingProxy;
  /** Brings batches to their moments, where all of them are when it answers; the tenants are called `<act>-<moment>`. */
  bringToMoments(...acts: Act[]): Promise<Scene[]>;
  /** Waits until the API reaches bucket and Temporal; one that was just started refuses before. */
  ready(): Promise<void>;
  upload(tenant: string, text: string): Promise<string>;
  get(scene: Pick<Scene, 'tenant' | 'batch'>): Promise<OpenAI.Batch | null>;
  /** Cancels a batch, which only one that has ended refuses; answers the status of the answer. */
  cancel(scene: Scene): Promise<number | undefined>;
  /** Pauses a batch, or lets it go on; answers the status of the answer. */
  steer(scene: Scene, call: 'pause' | 'resume'): Promise<number | undefined>;
  ended(scenes: readonly Scene[], seconds: number): Promise<void>;
  /** A subtest for each batch, when all have ended; what does not end within 150 s fails. */
  checkEnds(t: TestContext, scenes: readonly Scene[], check: (found: Found, scene: Scene) => void): Promise<void>;
  /** Fails when a batch does not hold to what it promises. */
  assertWhole(scene: Scene): Promise<Found>;
}

/** A batch as it ended, and how often each of its lines was answered upstream. */
export interface Found {
  batch: OpenAI.Batch;
  answers: number[];
}

const DAY = '24h';
/** The short windows, and what the worker and Temporal bear where they do not bear everything. */
const BRIEF_SECONDS = 28;
const LINES = 6;
/** A megabyte a line: two parts of a file. */
const WIDE_LINES = 9;
const WIDE_TEXTS = 22;
const TERMINAL: readonly string[] = ['completed', 'failed', 'expired', 'cancelled'];

/**
 * `acts` are all that will be used, because tenants are made when the house is; `plain` ones are tenants and nothing more. Each sweep looks
 * at every open batch, so a test that waits for no sweep should have few. `working` of the `workers` are started: one can close and publish
 * 16 batches at a time, and a batch that is held there takes a place.
 */
export async function startStage(
  acts: readonly string[],
  {
    plain = false,
    sweepSeconds = 5,
    workers = 1,
    working = 1,
  }: { plain?: boolean; sweepSeconds?: number; workers?: number; working?: number } = {},
): Promise<Stage> {
  const batches = new Map<string, string>();
  const moments = [SECOND_PART, ...momentsOf((tenant) => batches.get(tenant))];
  const proxies: HoldingProxy[] = [];
  /** A batch is known by its marker, long before its creation is answered. */
  function learn(path: string): void {
    const [, tenant, id] = /\/open\/([^/]+)\/(batch_\w+)/.exec(path) ?? [];
    if (tenant !== undefined && id !== undefined) batches.set(tenant, id);
  }
  const house = await startHouse({
    workers,
    waiting: workers - working,
    // In memory: no batch here needs a Temporal that is started again, and some need one that forgets everything.
    temporalFile: false,
    env: {
      NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: String(sweepSeconds),
      NIGHTSHIFT_COMPLETION_WINDOWS: `${DAY},${BRIEF_SECONDS}s`,
      // All lines of a batch are answered at once, so that they share a piece.
      ...(plain
        ? { NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '32' }
        : { NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '128', NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed' }),
      // One slice for a batch that comes to a moment: the slices of a shard write one piece after the other, and what waits behind a piece that is
      // held would be sent again.
      NIGHTSHIFT_LINES_PER_ACTIVITY: '8',
    },
    upstreamFlags: ['--latency', '20'],
    tenants: plain ? acts : acts.flatMap((act) => moments.map(({ name }) => `${act}-${name}`)),
    bucketPort: async (minioPort) => {
      const proxy = await startHoldingProxy(minioPort, learn);
      proxies.push(proxy);
      return proxy.port;
    },
  });
  const [proxy] = proxies;
  if (proxy === undefined) throw new Error('the house took no proxy');
  async function ready(): Promise<void> {
    const isReady = async () =>
      await fetch(`${house.origin}/ready`)
        .then(({ ok }) => ok)
        .catch(() => false);
    await until(isReady, { what: 'the API to reach bucket and Temporal' });
  }
  // The bucket is made in the background, and an upload before that is refused.
  await ready();
  for (const worker of house.workers.slice(0, working))
    await until(async () => await house.isWorking(worker), { what: `${worker.name} to work` });
  const client = createClient(house.origin);

  async function upload(tenant: string, text: string): Promise<string> {
    const form = new FormData();
    form.set('purpose', 'batch');
    form.set('file', new Blob([text]), 'input.jsonl');
    const file = jsonOf<OpenAI.FileObject>(await client.ask(tenant, 'POST', '/v1/files', form));
    assert.ok(file, 'the upload is answered');
    return file.id;
  }

  async function prepare({ act, window = DAY }: Act, moment: Moment) {
    const tenant = `${act}-${moment.name}`;
    const { input, text, endpoint } = makeInput(tenant, moment === SECOND_PART);
    return { act, moment, tenant, input, endpoint, window, input_file_id: await upload(tenant, text) };
  }

  type Prepared = Awaited<ReturnType<typeof prepare>>;

  async function start(prepared: Prepared): Promise<Scene> {
    const { act, moment, tenant, input, endpoint, window, input_file_id } = prepared;
    const hold = proxy?.hold(moment.when, moment.match(tenant));
    const request = JSON.stringify({ input_file_id, endpoint, completion_window: window });
    const batch = jsonOf<OpenAI.Batch>(await client.ask(tenant, 'POST', '/v1/batches', request));
    assert.ok(batch && hold);
    return { act, moment, tenant, input, batch, hold };
  }

  async function get({ tenant, batch }: Pick<Scene, 'tenant' | 'batch'>): Promise<OpenAI.Batch | null> {
    return jsonOf<OpenAI.Batch>(await client.ask(tenant, 'GET', `/v1/batches/${batch.id}`));
  }

  async function bring(prepared: readonly Prepared[], seconds: number): Promise<Scene[]> {
    const scenes = await Promise.all(prepared.map(start));
    await until(() => scenes.every(({ hold }) => hold.isReached), { what: 'all batches to come to their moment', seconds }).catch(
      (error: unknown) => {
        const missing = scenes.filter(({ hold }) => !hold.isReached).map(({ tenant }) => tenant);
        throw new Error(`not reached: ${missing.join(', ')}`, { cause: error });
      },
    );
    return scenes;
  }

  async function ended(scenes: readonly Scene[], seconds: number): Promise<void> {
    const open = new Set(scenes);
    await until(
      async () => {
        for (const scene of open) {
          const batch = await get(scene);
          if (batch !== null && TERMINAL.includes(batch.status)) open.delete(scene);
        }
        return open.size === 0;
      },
      { what: 'all batches to end', seconds, everyMs: 500, upToMs: 3_000 },
    ).catch(async (error: unknown) => {
      const left = await Promise.all([...open].map(async (scene) => `${scene.tenant} ${(await get(scene))?.status}`));
      throw new Error(`still open: ${left.join(', ')}`, { cause: error });
    });
  }

  async function assertWhole({ tenant, input, batch: { id } }: Scene): Promise<Found> {
    const batch = jsonOf<OpenAI.Batch>(await client.ask(tenant, 'GET', `/v1/batches/${id}`));
    assert.ok(batch);
    const callsOf = Map.groupBy(house.calls, ({ key }: Call) => key);
    const results = await readResults(client, tenant, batch);
    const { complaints } = checkBatch({ batch, results, input, callsOf, ownFaultsOf: () => 0, shards: null });
    assert.deepEqual(complaints, []);
    const answers = input.customIds.map((_, index) => {
      const calls = callsOf.get(`${id}-${index + 1}`) ?? [];
      return calls.filter(({ end }) => end === 'answered').length;
    });
    return { batch, answers };
  }

  return {
    house,
    client,
    proxy,
    ready,
    upload,
    get,

    async bringToMoments(...acts) {
      // All files first: from the first batch on, time runs.
      const all = await Promise.all(
        acts.flatMap((act) => moments.filter(act.chosen ?? (() => true)).map((moment) => prepare(act, moment))),
      );
      const waits = ({ moment, window }: Prepared) => (isBrief(moment) ? 'briefly' : window === DAY ? 'long' : 'for its window');
      const { long = [], 'for its window': windowed = [], briefly = [] } = Object.groupBy(all, waits);
      // One after the other: what has little time then has the machine to itself.
      return [...(await bring(long, 120)), ...(await bring(windowed, BRIEF_SECONDS)), ...(await bring(briefly, BRIEF_SECONDS))];
    },

    ended,
    assertWhole,
    steer: async ({ tenant, batch }, call) => (await client.ask(tenant, 'POST', `/v1/batches/${batch.id}/${call}`))?.status,
    cancel: async ({ tenant, batch }) => (await client.ask(tenant, 'POST', `/v1/batches/${batch.id}/cancel`))?.status,

    async checkEnds(t, scenes, check) {
      await ended(scenes, 150);
      for (const scene of scenes) await t.test(scene.tenant, async () => check(await assertWhole(scene), scene));
    },

    async [Symbol.asyncDispose]() {
      await house[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

/** What a cancel is answered: a batch that has ended refuses it. */
export function assertTaken({ tenant, moment }: Scene, status: number | undefined): void {
  assert.equal(status, moment.cancelled === 'completed' ? 409 : 200, tenant);
}

/** Lines of which the last is refused by the upstream, so that there are both files. */
function makeInput(tenant: string, isWide: boolean): { input: Input; text: string; endpoint: string } {
  const endpoint = isWide ? '/v1/embeddings' : '/v1/chat/completions';
  const input: Input = { tenant, customIds: [], bodyHashes: [], poison: null };
  const rows = Array.from({ length: isWide ? WIDE_LINES : LINES }, (_, index) => {
    const custom_id = `${tenant}-${index + 1}`;
    const failing = index === LINES - 1 ? { user: 'status=400' } : {};
    const body = isWide
      ? { model: 'example-model', input: Array.from({ length: WIDE_TEXTS }, () => custom_id), dimensions: 4096 }
      : { model: 'example-model', messages: [{ role: 'user', content: custom_id }], ...failing };
    input.customIds.push(custom_id);
    input.bodyHashes.push(md5(JSON.stringify(body)));
    return JSON.stringify({ custom_id, method: 'POST', url: endpoint, body });
  });
  return { input, text: `${rows.join('\n')}\n`, endpoint };
}

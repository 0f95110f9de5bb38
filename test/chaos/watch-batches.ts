import { setTimeout as delay } from 'node:timers/promises';
import type OpenAI from 'openai';
import type { Bucket } from './bucket.ts';
import { md5 } from './calls.ts';
import { checkReply } from './check-clients.ts';
import { checkExpiry, checkMove, TERMINAL } from './check-move.ts';
import { type Client, jsonOf } from './client.ts';
import { sumOf, type Usage } from './usage.ts';

/** What the shard results of a batch amount to. */
export interface ShardSum {
  completed: number;
  failed: number;
  notRun: number;
  usage: Usage;
  /** Of the bytes that they name, in the order of the shards; null for none. */
  outputHash: string | null;
  errorHash: string | null;
}

/** A shard result, as it stands in the bucket. */
interface ShardResult {
  completed: number;
  failed: number;
  notRun: number;
  usage: Usage;
  output: { key: string } | null;
  error: { key: string } | null;
}

/** What was seen of all batches while everything was harmed. */
export interface Watched {
  batches: Map<string, { tenant: string; last: OpenAI.Batch }>;
  /** Of the batches whose shard results were caught before the sweep took them. */
  shardSums: Map<string, ShardSum>;
  complaints: string[];
}

/**
 * Twice a second it reads the list of each tenant and then, in turn, one of its batches that have not ended. It compares what it sees
 * with what it saw, and keeps all shard results. Reads of a tenant follow each other, because two at a time may be answered in any order.
 */
export async function watchBatches(given: {
  client: Client;
  bucket: Bucket;
  tenants: readonly string[];
  signal: AbortSignal;
}): Promise<Watched> {
  const { client, bucket, tenants, signal } = given;
  let looks = 0;
  const watched: Watched = { batches: new Map(), shardSums: new Map(), complaints: [] };

  function see(tenant: string, batch: OpenAI.Batch): void {
    const before = watched.batches.get(batch.id)?.last;
    watched.batches.set(batch.id, { tenant, last: batch });
    watched.complaints.push(...checkExpiry(batch, Date.now()));
    if (before !== undefined) watched.complaints.push(...checkMove(before, batch));
  }

  /** Past the API, which may be away from the end of a batch until the sweep: shard results never change once all are there. */
  async function catchShards(): Promise<void> {
    for (const [id, { last }] of watched.batches) {
      // Whether it is in progress only the API would say.
      if (last.status === 'failed' || watched.shardSums.has(id)) continue;
      const sum = await sumShards(bucket, id).catch(() => null);
      if (sum !== null) watched.shardSums.set(id, sum);
    }
  }

  async function look(tenant: string): Promise<void> {
    const listed = await listAll<OpenAI.Batch>(client, tenant, '/v1/batches');
    for (const batch of listed) see(tenant, batch);
    // Lists show the record. Reading a batch refreshes its counts, which costs queries, so one is read at a time.
    const open = listed.filter(({ status }) => !TERMINAL.includes(status));
    const { id } = open[(looks += 1) % open.length] ?? {};
    if (id === undefined) return;
    const reply = await client.ask(tenant, 'GET', `/v1/batches/${id}`);
    watched.complaints.push(...checkReply(`reading ${id}`, reply));
    const batch = jsonOf<OpenAI.Batch>(reply);
    if (batch !== null) see(tenant, batch);
  }

  async function again(look: () => Promise<unknown>): Promise<void> {
    while (!signal.aborted) {
      await look();
      await delay(500);
    }
  }
  await Promise.all([again(catchShards), again(async () => await Promise.all(tenants.map(look)))]);
  return watched;
}

/** Every page of a list, as far as it is answered. */
export async function listAll<T extends { id: string }>(client: Client, tenant: string, path: string): Promise<T[]> {
  const found: T[] = [];
  for (;;) {
    const after = found.at(-1)?.id;
    const reply = await client.ask(tenant, 'GET', `${path}?limit=100${after === undefined ? '' : `&after=${after}`}`);
    const page = jsonOf<{ data: T[]; has_more: boolean }>(reply);
    if (page === null) return found;
    found.push(...page.data);
    if (!page.has_more) return found;
  }
}

/** Reads what the shard results name; throws when the sweep was faster. */
export async function sumShards(bucket: Pick<Bucket, 'keys' | 'read'>, batchId: string): Promise<ShardSum> {
  const head: { shards: unknown[] } = JSON.parse(String(await bucket.read(`work/${batchId}/plan/head`)));
  const names = (await bucket.keys(`work/${batchId}/result/`)).toSorted();
  if (names.length !== head.shards.length) throw new Error('the sweep has begun');
  const parts: Record<'output' | 'error', Buffer[]> = { output: [], error: [] };
  const results: ShardResult[] = [];
  for (const name of names) {
    const result: ShardResult = JSON.parse(String(await bucket.read(name)));
    results.push(result);
    for (const role of ['output', 'error'] as const) {
      const object = result[role];
      if (object !== null) parts[role].push(await bucket.read(object.key));
    }
  }
  const count = (what: 'completed' | 'failed' | 'notRun') => results.reduce((sum, result) => sum + result[what], 0);
  const hashOf = (buffers: Buffer[]) => (buffers.length === 0 ? null : md5(Buffer.concat(buffers)));
  return {
    completed: count('completed'),
    failed: count('failed'),
    notRun: count('notRun'),
    usage: sumOf(results.map(({ usage }) => usage)),
    outputHash: hashOf(parts.output),
    errorHash: hashOf(parts.error),
  };
}

import { setTimeout as delay } from 'node:timers/promises';
import type OpenAI from 'openai';
import { md5 } from './calls.ts';
import { type Client, jsonOf } from './client.ts';
import type { Random } from './random.ts';

/** What one input file holds; a call of line n carries the body with the n-th hash. */
export interface Input {
  tenant: string;
  customIds: string[];
  bodyHashes: string[];
}

/** What clients did, for the checks to compare with. */
export interface Deeds {
  /** By file id; a file whose upload was not answered makes no batch. */
  inputs: Map<string, Input>;
  /** Batches whose creation was answered, with their tenant. */
  created: Map<string, string>;
  /** `metadata.key` of the creations under an Idempotency-Key. */
  idempotencyKeys: Set<string>;
  deletedFiles: Set<string>;
  cancels: number;
  hangUps: number;
}

type Choice = 'watch' | 'cancel' | 'delete' | 'hang up';
const LANES = 2;
/** A client goes on to its next batch after this, so that work piles up, but not without end. */
const STAY_MS = 30_000;

/** Uploads, creates, cancels, deletes and hangs up, for every tenant at a time, until the signal ends it. */
export async function runLoad({
  client,
  tenants,
  random,
  signal,
}: {
  client: Client;
  tenants: readonly string[];
  random: Random;
  signal: AbortSignal;
}): Promise<Deeds> {
  const deeds: Deeds = {
    inputs: new Map(),
    created: new Map(),
    idempotencyKeys: new Set(),
    deletedFiles: new Set(),
    cancels: 0,
    hangUps: 0,
  };
  let files = 0;

  function makeInput(tenant: string): { input: Input; text: string; endpoint: string } {
    const name = `${tenant}-${(files += 1)}`;
    // One in eight makes files of many parts.
    const isWide = random.chance(1 / 8);
    const endpoint = isWide ? '/v1/embeddings' : '/v1/chat/completions';
    const input: Input = { tenant, customIds: [], bodyHashes: [] };
    const rows: string[] = [];
    for (let line = 1, count = isWide ? random.between(60, 100) : random.between(20, 250); line <= count; line++) {
      const customId = `${name}-${line}`;
      const body = isWide
        ? { model: 'example-model', input: ['a', 'b', 'c', customId], dimensions: 4096 }
        : { model: 'example-model', messages: [{ role: 'user', content: customId }], ...scriptFor(random) };
      input.customIds.push(customId);
      input.bodyHashes.push(md5(JSON.stringify(body)));
      rows.push(JSON.stringify({ custom_id: customId, method: 'POST', url: endpoint, body }));
    }
    return { input, text: `${rows.join('\n')}\n`, endpoint };
  }

  function form(text: string): FormData {
    const data = new FormData();
    data.set('purpose', 'batch');
    data.set('file', new Blob([text]), 'input.jsonl');
    return data;
  }

  /** Asks until there is an answer, as an SDK would. */
  async function persist<T>(once: () => Promise<T | null>): Promise<T | null> {
    while (!signal.aborted) {
      const answer = await once();
      if (answer !== null) return answer;
      await delay(500);
    }
    return null;
  }

  async function oneBatch(tenant: string): Promise<void> {
    const { input, text, endpoint } = makeInput(tenant);
    const choice = random.weighted<Choice>([
      ['watch', 5],
      ['cancel', 2],
      ['delete', 1],
      ['hang up', 2],
    ]);
    if (choice === 'hang up') {
      deeds.hangUps += 1;
      await client.hangUp(tenant, 'POST', '/v1/files', random.between(5, 300), form(text.repeat(40)));
    }
    const file = await persist(async () => jsonOf<OpenAI.FileObject>(await client.ask(tenant, 'POST', '/v1/files', form(text))));
    if (file === null) return;
    deeds.inputs.set(file.id, input);
    const key = random.chance(0.5) ? `${file.id}-key` : null;
    if (key !== null) deeds.idempotencyKeys.add(key);
    const request = {
      input_file_id: file.id,
      endpoint,
      completion_window: random.chance(0.08) ? '20s' : '24h',
      ...(key === null ? {} : { metadata: { key } }),
    };
    const headers: Record<string, string> = key === null ? {} : { 'idempotency-key': key };
    const batch = await persist(async () =>
      jsonOf<OpenAI.Batch>(await client.ask(tenant, 'POST', '/v1/batches', JSON.stringify(request), headers)),
    );
    if (batch === null) return;
    deeds.created.set(batch.id, tenant);
    const leaveAtMs = Date.now() + STAY_MS;
    const actAtMs = Date.now() + random.between(0, 8_000);
    for (let hasActed = false; Date.now() < leaveAtMs && !signal.aborted; await delay(300)) {
      const now = jsonOf<OpenAI.Batch>(await client.ask(tenant, 'GET', `/v1/batches/${batch.id}`));
      if (now === null) continue;
      if (now.output_file_id && choice === 'hang up') {
        deeds.hangUps += 1;
        await client.hangUp(tenant, 'GET', `/v1/files/${now.output_file_id}/content`, random.between(1, 30));
      }
      if (['completed', 'failed', 'expired', 'cancelled'].includes(now.status)) return;
      if (hasActed || Date.now() < actAtMs) continue;
      if (choice === 'cancel') {
        hasActed = (await client.ask(tenant, 'POST', `/v1/batches/${batch.id}/cancel`)) !== null;
        deeds.cancels += 1;
      } else if (choice === 'delete' && now.in_progress_at) {
        const reply = await client.ask(tenant, 'DELETE', `/v1/files/${file.id}`);
        hasActed = reply !== null && reply.status !== 503;
        if (hasActed) deeds.deletedFiles.add(file.id);
      }
    }
  }

  await Promise.all(
    tenants.flatMap((tenant) =>
      Array.from({ length: LANES }, async () => {
        while (!signal.aborted) await oneBatch(tenant);
      }),
    ),
  );
  return deeds;
}

/** Most requests go well; some fail first, some for good, some take long. */
function scriptFor(random: Random): { user?: string } {
  return random.weighted<{ user?: string }>([
    [{}, 940],
    [{ user: 'status=500,200' }, 20],
    [{ user: 'mode=reset,ok' }, 10],
    [{ user: 'status=503,200' }, 10],
    [{ user: 'status=400' }, 10],
    [{ user: 'delay=4000' }, 10],
  ]);
}

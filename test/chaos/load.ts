import { setTimeout as delay } from 'node:timers/promises';
import type OpenAI from 'openai';
import { md5 } from './calls.ts';
import { type Client, jsonOf } from './client.ts';
import type { Random } from './random.ts';
import { giveUpUpload, type Persist, uploadInParts } from './upload-in-parts.ts';

/** What one input file holds; a call of line n carries the body with the n-th hash. */
export interface Input {
  tenant: string;
  customIds: string[];
  bodyHashes: string[];
  /** The custom_id of the line whose worker dies of it each time. */
  poison: string | null;
}

/** What clients did, for the checks to compare with. */
export interface Deeds {
  /** By file id; a file whose upload was not answered makes no batch. */
  inputs: Map<string, Input & { textHash: string }>;
  /** Batches whose creation was answered, with their tenant. */
  created: Map<string, string>;
  /** `metadata.key` of the creations under an Idempotency-Key. */
  idempotencyKeys: Set<string>;
  deletedFiles: Set<string>;
  /** Names of files whose upload in parts was never completed. */
  givenUp: Set<string>;
  uploadsInParts: number;
  cancels: number;
  hangUps: number;
  /** Requests that were refused, and ought not to be. */
  complaints: string[];
}

type Choice = 'watch' | 'cancel' | 'delete' | 'hang up';
const LANES = 2;
/** A client goes on to its next batch after this, so that work piles up, but not without end. */
const STAY_MS = 30_000;

/** An upload of many parts, each of many. */
const PADDING = ' '.repeat(1024 * 1024);

/** Uploads, creates, cancels, deletes and hangs up, for every tenant at a time, until the signal ends it. `poison` is in the body of one line. */
export async function runLoad({
  client,
  tenants,
  random,
  poison,
  signal,
}: {
  client: Client;
  tenants: readonly string[];
  random: Random;
  poison: string | null;
  signal: AbortSignal;
}): Promise<Deeds> {
  const deeds: Deeds = {
    inputs: new Map(),
    created: new Map(),
    idempotencyKeys: new Set(),
    deletedFiles: new Set(),
    givenUp: new Set(),
    uploadsInParts: 0,
    cancels: 0,
    hangUps: 0,
    complaints: [],
  };
  let files = 0;

  function makeInput(tenant: string): { name: string; input: Input; text: string; endpoint: string } {
    const name = `${tenant}-${(files += 1)}`;
    const isPoisonous = poison !== null && files === 2;
    // One in eight makes files of many parts.
    const isWide = random.chance(1 / 8) && !isPoisonous;
    const endpoint = isWide ? '/v1/embeddings' : '/v1/chat/completions';
    const isPadded = random.chance(1 / 8);
    const input: Input = { tenant, customIds: [], bodyHashes: [], poison: isPoisonous ? `${name}-7` : null };
    const rows: string[] = [];
    for (let line = 1, count = isWide ? random.between(60, 100) : random.between(20, 250); line <= count; line++) {
      const customId = `${name}-${line}`;
      const script = customId === input.poison && poison !== null ? { user: poison } : scriptFor(random);
      const body = isWide
        ? { model: 'example-model', input: ['a', 'b', 'c', customId], dimensions: 4096 }
        : { model: 'example-model', messages: [{ role: 'user', content: customId }], ...script };
      input.customIds.push(customId);
      input.bodyHashes.push(md5(JSON.stringify(body)));
      const row = JSON.stringify({ custom_id: customId, method: 'POST', url: endpoint, body });
      rows.push(isPadded && line <= 10 ? row.replace(/}$/, `${PADDING}}`) : row);
    }
    return { name, input, text: `${rows.join('\n')}\n`, endpoint };
  }

  function form(text: string): FormData {
    const data = new FormData();
    data.set('purpose', 'batch');
    data.set('file', new Blob([text]), 'input.jsonl');
    return data;
  }

  /** As an SDK would, and for longer. */
  const persist: Persist = async (what, once) => {
    while (!signal.aborted) {
      const reply = await once();
      if (reply?.status === 200) return reply;
      if (reply !== null && reply.status >= 400 && reply.status < 500 && ![408, 409, 429].includes(reply.status)) {
        deeds.complaints.push(`${what} was refused with ${reply.status}: ${reply.bytes.toString().slice(0, 300)}`);
        return null;
      }
      await delay(500);
    }
    return null;
  };

  async function upload(tenant: string, name: string, text: string): Promise<OpenAI.FileObject | null> {
    const given = { client, tenant, random, persist, filename: `${name}.jsonl`, text };
    if (random.chance(0.15)) {
      const filename = `${name}-given-up.jsonl`;
      deeds.givenUp.add(filename);
      await giveUpUpload({ ...given, filename, text: text.repeat(Math.ceil((10 * PADDING.length) / text.length)) });
    }
    if (random.chance(0.3)) {
      deeds.uploadsInParts += 1;
      return await uploadInParts(given);
    }
    return jsonOf<OpenAI.FileObject>(await persist('a file', async () => await client.ask(tenant, 'POST', '/v1/files', form(text))));
  }

  async function oneBatch(tenant: string): Promise<void> {
    const { name, input, text, endpoint } = makeInput(tenant);
    const mayEnd = input.poison === null;
    const choice = random.weighted<Choice>([
      ['watch', 5],
      ['cancel', mayEnd ? 2 : 0],
      ['delete', 1],
      ['hang up', 2],
    ]);
    if (choice === 'hang up') {
      deeds.hangUps += 1;
      await client.hangUp(tenant, 'POST', '/v1/files', random.between(5, 300), form(text.length > PADDING.length ? text : text.repeat(40)));
    }
    const file = await upload(tenant, name, text);
    if (file === null) return;
    deeds.inputs.set(file.id, { ...input, textHash: md5(text) });
    const key = random.chance(0.5) ? `${file.id}-key` : null;
    if (key !== null) deeds.idempotencyKeys.add(key);
    const request = {
      input_file_id: file.id,
      endpoint,
      completion_window: mayEnd && random.chance(0.08) ? '20s' : '24h',
      ...(key === null ? {} : { metadata: { key } }),
    };
    const headers: Record<string, string> = key === null ? {} : { 'idempotency-key': key };
    const batch = jsonOf<OpenAI.Batch>(
      await persist('a batch', async () => await client.ask(tenant, 'POST', '/v1/batches', JSON.stringify(request), headers)),
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

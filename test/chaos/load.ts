import { setTimeout as delay } from 'node:timers/promises';
import type OpenAI from 'openai';
import { checkReply } from './check-clients.ts';
import { type Client, jsonOf, type Reply } from './client.ts';
import { makeInput, type Input, type MadeInput, PADDING } from './make-input.ts';
import type { Random } from './random.ts';
import { pauseBatch } from './pause-batch.ts';
import { giveUpUpload, type Persist, uploadInParts } from './upload-in-parts.ts';

export type { Input };

/** What a cancel was answered: the status of the batch, that it has ended otherwise, or nothing that says whether it was heard. */
export type CancelAnswer = 'cancelling' | 'cancelled' | 'refused' | 'nothing';

/** What clients did, for the checks to compare with. */
export interface Deeds {
  /** By file id; a file whose upload was not answered makes no batch. */
  inputs: Map<string, MadeInput>;
  /** Batches whose creation was answered, with their tenant. */
  created: Map<string, string>;
  /** `metadata.key` of the creations under an Idempotency-Key. */
  idempotencyKeys: Set<string>;
  /** Files that clients asked to delete, answered or not. */
  deletedFiles: Set<string>;
  /** Names of files whose upload in parts was never completed. */
  givenUp: Set<string>;
  uploadsInParts: number;
  /** By batch, what each cancel was answered, in order. */
  cancels: Map<string, CancelAnswer[]>;
  /** Pauses that were answered; each was followed by a resume. */
  pauses: number;
  hangUps: number;
  /** Requests that were refused, and ought not to be. */
  complaints: string[];
}

type Choice = 'watch' | 'cancel' | 'pause' | 'delete' | 'hang up';
/** A client goes on to its next batch after this, so that work piles up, but not without end. */
const STAY_MS = 30_000;

/** Uploads, creates, cancels, deletes and hangs up, for every tenant at a time, until the signal ends it. `poison` is in the body of one line. */
export async function runLoad({
  client,
  tenants,
  random,
  poison,
  lanes,
  signal,
}: {
  client: Client;
  tenants: readonly string[];
  random: Random;
  poison: string | null;
  /** Batches that each tenant has under way at a time. */
  lanes: number;
  signal: AbortSignal;
}): Promise<Deeds> {
  const deeds: Deeds = {
    inputs: new Map(),
    created: new Map(),
    idempotencyKeys: new Set(),
    deletedFiles: new Set(),
    givenUp: new Set(),
    uploadsInParts: 0,
    cancels: new Map(),
    pauses: 0,
    hangUps: 0,
    complaints: [],
  };
  let files = 0;

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
      const complaints = checkReply(what, reply);
      if (complaints.length > 0) {
        deeds.complaints.push(...complaints);
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

  function toAnswer(reply: Reply | null): CancelAnswer {
    if (reply === null || [408, 429, 503].includes(reply.status)) return 'nothing';
    const status = jsonOf<OpenAI.Batch>(reply)?.status;
    if (status === 'cancelling' || status === 'cancelled') return status;
    if (reply.status !== 409) deeds.complaints.push(`a cancel was answered ${reply.status}: ${reply.bytes.toString().slice(0, 300)}`);
    return 'refused';
  }

  async function oneBatch(tenant: string): Promise<void> {
    files += 1;
    // Every run has a batch that is cancelled at once.
    const isFirst = files === 1;
    const name = `${tenant}-${files}`;
    const { input, text, endpoint } = makeInput({ tenant, name, random, poison: files === 2 ? poison : null, plain: isFirst });
    const choice = random.weighted<Choice>([
      ['watch', isFirst ? 0 : 5],
      ['cancel', input.poison === null ? 2 : 0],
      ['pause', isFirst ? 0 : 2],
      ['delete', isFirst ? 0 : 1],
      ['hang up', isFirst ? 0 : 2],
    ]);
    if (choice === 'hang up') {
      deeds.hangUps += 1;
      await client.hangUp(tenant, 'POST', '/v1/files', random.between(5, 300), form(text.length > PADDING.length ? text : text.repeat(40)));
    }
    const file = await upload(tenant, name, text);
    if (file === null) return;
    deeds.inputs.set(file.id, input);
    const key = random.chance(0.5) ? `${file.id}-key` : null;
    if (key !== null) deeds.idempotencyKeys.add(key);
    const request = {
      input_file_id: file.id,
      endpoint,
      completion_window: input.window,
      ...(key === null ? {} : { metadata: { key } }),
    };
    const headers: Record<string, string> = key === null ? {} : { 'idempotency-key': key };
    const batch = jsonOf<OpenAI.Batch>(
      await persist('a batch', async () => await client.ask(tenant, 'POST', '/v1/batches', JSON.stringify(request), headers)),
    );
    if (batch === null) return;
    deeds.created.set(batch.id, tenant);
    const leaveAtMs = Date.now() + STAY_MS;
    const actAtMs = Date.now() + (isFirst ? 0 : random.between(0, 8_000));
    for (let hasActed = false; Date.now() < leaveAtMs && !signal.aborted; await delay(300)) {
      const read = await client.ask(tenant, 'GET', `/v1/batches/${batch.id}`);
      deeds.complaints.push(...checkReply(`reading ${batch.id}`, read));
      const now = jsonOf<OpenAI.Batch>(read);
      if (now === null) continue;
      if (now.output_file_id && choice === 'hang up') {
        deeds.hangUps += 1;
        await client.hangUp(tenant, 'GET', `/v1/files/${now.output_file_id}/content`, random.between(1, 30));
      }
      if (['completed', 'failed', 'expired', 'cancelled'].includes(now.status)) return;
      if (hasActed || Date.now() < actAtMs) continue;
      if (choice === 'cancel') {
        const answer = toAnswer(await client.ask(tenant, 'POST', `/v1/batches/${batch.id}/cancel`));
        deeds.cancels.set(batch.id, [...(deeds.cancels.get(batch.id) ?? []), answer]);
        hasActed = answer !== 'nothing';
      } else if (choice === 'pause') {
        const { isPaused, complaints } = await pauseBatch(client, { tenant, id: batch.id, forMs: random.between(100, 6_000) });
        deeds.complaints.push(...complaints);
        if (isPaused) deeds.pauses += 1;
        hasActed = true;
      } else if (choice === 'delete' && now.in_progress_at) {
        // Before, because a request that is not answered may be carried out.
        deeds.deletedFiles.add(file.id);
        const reply = await client.ask(tenant, 'DELETE', `/v1/files/${file.id}`);
        hasActed = reply !== null && reply.status !== 503;
      }
    }
  }

  await Promise.all(
    tenants.flatMap((tenant) =>
      Array.from({ length: lanes }, async () => {
        while (!signal.aborted) await oneBatch(tenant);
      }),
    ),
  );
  return deeds;
}

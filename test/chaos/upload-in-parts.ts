import type OpenAI from 'openai';
import { md5 } from './calls.ts';
import { type Client, jsonOf, type Reply } from './client.ts';
import type { Random } from './random.ts';

/** Asks until there is an answer that counts; null when the run is over before. */
export type Persist = (what: string, once: () => Promise<Reply | null>) => Promise<Reply | null>;

interface Given {
  client: Client;
  tenant: string;
  random: Random;
  persist: Persist;
  filename: string;
  text: string;
}

/** Uploads a file in parts of random sizes, all at a time, and completes it by its hash. */
export async function uploadInParts(given: Given): Promise<OpenAI.FileObject | null> {
  const { client, tenant, persist, text } = given;
  const id = await begin(given);
  if (id === null) return null;
  const pieces = cut(Buffer.from(text), given.random);
  const parts = await Promise.all(
    pieces.map(async (piece) => jsonOf<{ id: string }>(await persist('a part', async () => await sendPart(given, id, piece)))),
  );
  const part_ids = parts.flatMap((part) => part?.id ?? []);
  if (part_ids.length < pieces.length) return null;
  const request = JSON.stringify({ part_ids, md5: md5(text) });
  const completed = await persist('completing', async () => await client.ask(tenant, 'POST', `/v1/uploads/${id}/complete`, request));
  return jsonOf<{ file: OpenAI.FileObject }>(completed)?.file ?? null;
}

/** Begins an upload and gives it up: hangs up in the middle of a part, and cancels it or goes away. */
export async function giveUpUpload(given: Given): Promise<void> {
  const { client, tenant, random, persist, text } = given;
  const id = await begin(given);
  if (id === null) return;
  const bytes = Buffer.from(text);
  await sendPart(given, id, bytes.subarray(0, 1000));
  await client.hangUp(tenant, 'POST', `/v1/uploads/${id}/parts`, random.between(5, 300), formOf(bytes));
  if (random.chance(0.5)) await persist('cancelling an upload', async () => await client.ask(tenant, 'POST', `/v1/uploads/${id}/cancel`));
}

async function begin({ client, tenant, persist, filename, text }: Given): Promise<string | null> {
  const request = { purpose: 'batch', filename, bytes: Buffer.byteLength(text), mime_type: 'application/jsonl' };
  const reply = await persist('an upload', async () => await client.ask(tenant, 'POST', '/v1/uploads', JSON.stringify(request)));
  return jsonOf<{ id: string }>(reply)?.id ?? null;
}

async function sendPart({ client, tenant }: Given, id: string, bytes: Buffer): Promise<Reply | null> {
  return await client.ask(tenant, 'POST', `/v1/uploads/${id}/parts`, formOf(bytes));
}

function formOf(bytes: Buffer): FormData {
  const data = new FormData();
  data.set('data', new Blob([Uint8Array.from(bytes)]), 'part');
  return data;
}

function cut(bytes: Buffer, random: Random): Buffer[] {
  const cuts = Array.from({ length: random.between(1, 5) }, () => random.between(1, bytes.length - 1));
  const borders = [...new Set([0, ...cuts, bytes.length])].toSorted((a, b) => a - b);
  return borders.slice(1).map((end, index) => bytes.subarray(borders[index], end));
}

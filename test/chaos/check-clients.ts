import type OpenAI from 'openai';
import type { Reply } from './client.ts';
import type { Deeds } from './load.ts';

/**
 * A request that is right may have to wait, and be repeated, but nothing else: reading a batch that was just created is not
 * answered 404, and repeating a creation under its key is not answered 409.
 */
export function checkReply(what: string, reply: Reply | null): string[] {
  if (reply === null || reply.status < 400 || reply.status >= 500 || reply.status === 408 || reply.status === 429) return [];
  return [`${what} was refused with ${reply.status}: ${reply.bytes.toString().slice(0, 300)}`];
}

/** What was answered exists, and under an Idempotency-Key it exists once. */
export function checkCreations(
  batches: ReadonlyMap<string, readonly OpenAI.Batch[]>,
  deeds: Pick<Deeds, 'created' | 'idempotencyKeys'>,
): string[] {
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

/** Files that clients made are those they sent, byte for byte, and an upload that was given up never became one. */
export function checkInputs(
  files: readonly Pick<OpenAI.FileObject, 'id' | 'filename'>[],
  /** Of the content of a file, as it was read; null when it could not be. */
  hashOf: (fileId: string) => string | null,
  deeds: Pick<Deeds, 'inputs' | 'deletedFiles' | 'givenUp'>,
): string[] {
  const complaints: string[] = [];
  for (const [id, { textHash }] of deeds.inputs) {
    if (!deeds.deletedFiles.has(id) && hashOf(id) !== textHash) complaints.push(`${id} does not hold what was uploaded`);
  }
  for (const { id, filename } of files) if (deeds.givenUp.has(filename)) complaints.push(`${id} was made of an upload that was given up`);
  return complaints;
}

import type OpenAI from 'openai';
import type { Deeds } from './load.ts';

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

import type OpenAI from 'openai';
import type { Deeds } from './load.ts';

/** Prefixes below which nothing is left once everything has ended and a day has passed, but for contents of files. */
export const EMPTY_BELOW = ['work/', 'open/', 'uploads/', 'resumable/', 'content/'] as const;

/** What is in the bucket of files that are listed, and what besides. Keys are `content/<tenant>/<file>`. */
export function checkBucket(given: {
  /** By tenant. */
  files: ReadonlyMap<string, readonly Pick<OpenAI.FileObject, 'id' | 'purpose'>[]>;
  batches: ReadonlyMap<string, readonly OpenAI.Batch[]>;
  deeds: Pick<Deeds, 'inputs' | 'deletedFiles'>;
  /** What lies below `EMPTY_BELOW`. */
  keys: readonly string[];
  /** Files of multipart uploads on MinIO's disk. */
  halfUploads: readonly string[];
}): { missing: string[]; left: string[] } {
  const { files, batches, deeds, keys, halfUploads } = given;
  const missing: string[] = [];
  const listed = new Set([...files].flatMap(([tenant, some]) => some.map(({ id }) => `content/${tenant}/${id}`)));
  const results = new Set(
    [...batches].flatMap(([tenant, some]) =>
      some.flatMap((batch) => [batch.output_file_id, batch.error_file_id].flatMap((id) => (id ? [`content/${tenant}/${id}`] : []))),
    ),
  );
  const inputs = [...deeds.inputs].filter(([id]) => !deeds.deletedFiles.has(id)).map(([id, { tenant }]) => `content/${tenant}/${id}`);
  for (const key of [...results, ...inputs]) if (!listed.has(key)) missing.push(`${key} is in no list of files`);
  const there = new Set(keys);
  for (const key of listed) if (!there.has(key)) missing.push(`${key} is gone`);
  // Uploads that nobody was told of are files all the same; result files are those of the batches and no others.
  for (const [tenant, some] of files) {
    for (const { id, purpose } of some) {
      if (purpose !== 'batch' && !results.has(`content/${tenant}/${id}`)) missing.push(`${id} is a result of no batch`);
    }
  }
  return { missing, left: [...keys.filter((key) => !listed.has(key)), ...halfUploads].map((key) => `left over: ${key}`) };
}

import { join } from 'node:path';
import type { ApiClient } from './api-client.ts';
import { ensureFolder, saveFile } from './save-file.ts';
import type { Transfers } from './transfer-line.ts';
import type { Batch } from '../domain/batch.ts';

/** Where the files of a batch are; null for one that the batch does not have. */
export interface SavedResults {
  output: string | null;
  error: string | null;
}

/** Downloads the result files that a batch has into a folder. */
export async function saveResults(
  client: Pick<ApiClient, 'getFile' | 'readContent'>,
  batch: Batch,
  { folder, force = false, transfers }: { folder: string; force?: boolean; transfers?: Transfers },
): Promise<SavedResults> {
  const save = async (id: string | null, kind: 'output' | 'error'): Promise<string | null> => {
    if (id === null) return null;
    const path = join(folder, `${fileNameOf(batch.id)}_${kind}.jsonl`);
    const progress = transfers?.begin(`downloading ${path}`);
    try {
      const done = await saveFile(client, {
        id,
        path,
        part: `${path}.part`,
        force,
        ...(progress === undefined ? {} : { onBytes: progress.onBytes }),
      });
      if (done === 'was there') transfers?.note(`${path} is there already, complete.`);
    } finally {
      progress?.end();
    }
    return path;
  };
  if (batch.output_file_id !== null || batch.error_file_id !== null) await ensureFolder(folder);
  return { output: await save(batch.output_file_id, 'output'), error: await save(batch.error_file_id, 'error') };
}

/** An id or name that a server sent, as the name of a file in one folder. */
export function fileNameOf(given: string): string {
  const name = given
    .replace(/[^\w.@+-]/g, '_')
    .replace(/^\.+/, '_')
    .slice(0, 200);
  return name === '' ? '_' : name;
}

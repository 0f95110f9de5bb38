import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ApiClient } from './api-client.ts';
import type { Batch } from '../domain/batch.ts';

/** Downloads the result files that a batch has into a folder; answers their paths, output before errors. */
export async function saveResults(client: ApiClient, batch: Batch, folder: string): Promise<string[]> {
  const files = [
    { id: batch.output_file_id, path: join(folder, `${batch.id}_output.jsonl`) },
    { id: batch.error_file_id, path: join(folder, `${batch.id}_error.jsonl`) },
  ];
  const saved: string[] = [];
  for (const { id, path } of files) {
    if (id === null) continue;
    await mkdir(folder, { recursive: true });
    await client.downloadFile(id, path);
    saved.push(path);
  }
  return saved;
}

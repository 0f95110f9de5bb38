import type OpenAI from 'openai';
import type { Client } from './client.ts';

/** A result file as a client gets it; `'unreadable'` when it cannot be had. */
export type ResultFile = { recordBytes: number; bytes: Buffer } | 'unreadable';

/** The two files of a batch that ended; null where it names none. */
export interface Results {
  output: ResultFile | null;
  error: ResultFile | null;
}

export async function readResults(client: Client, tenant: string, batch: OpenAI.Batch): Promise<Results> {
  async function read(fileId: string | null | undefined): Promise<ResultFile | null> {
    if (!fileId) return null;
    const record = await client.ask(tenant, 'GET', `/v1/files/${fileId}`);
    const content = await client.ask(tenant, 'GET', `/v1/files/${fileId}/content`);
    if (record?.status !== 200 || content?.status !== 200) return 'unreadable';
    return { recordBytes: JSON.parse(String(record.bytes)).bytes, bytes: content.bytes };
  }
  return { output: await read(batch.output_file_id), error: await read(batch.error_file_id) };
}

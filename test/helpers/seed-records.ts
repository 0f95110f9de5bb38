import { randomBytes } from 'node:crypto';
import type { BatchRecord } from '../../src/domain/batch.ts';
import type { File } from '../../src/domain/file.ts';
import { newBatchId, newFileId } from '../../src/domain/ids.ts';
import { newBatch } from '../../src/domain/new-batch.ts';
import { keys } from '../../src/storage/keys.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';

const WRITES_AT_A_TIME = 64;

/** Writes objects, in any order. */
export type WriteAll = (objects: readonly { key: string; body: Buffer }[]) => Promise<void>;

/** Writes each object by itself, as any S3 store takes it. */
export function oneByOne(store: ObjectStore): WriteAll {
  return async (objects) => {
    const left = objects.values();
    const write = async () => {
      for (const { key, body } of left) await store.put(key, body);
    };
    await Promise.all(Array.from({ length: WRITES_AT_A_TIME }, write));
  };
}

/** Writes this many file records, one a second up to now, and answers their ids, newest first. */
export async function seedFiles(write: WriteAll, tenant: string, count: number): Promise<string[]> {
  return await seed(write, count, (createdMs) => {
    const id = newFileId(createdMs, randomBytes(6).toString('hex'));
    const record: File = {
      id,
      object: 'file',
      bytes: 1000,
      created_at: Math.floor(createdMs / 1000),
      expires_at: Math.floor(createdMs / 1000) + 2_592_000,
      filename: 'input.jsonl',
      purpose: 'batch',
      status: 'processed',
      status_details: null,
    };
    return { id, key: keys.file(tenant, id), record };
  });
}

/** Writes this many batch records, one a second up to now, and answers their ids, newest first. */
export async function seedBatches(write: WriteAll, tenant: string, count: number): Promise<string[]> {
  return await seed(write, count, (createdMs) => {
    const id = newBatchId(createdMs, randomBytes(10).toString('hex'));
    const batch = newBatch({
      id,
      nowSeconds: Math.floor(createdMs / 1000),
      inputFileId: newFileId(createdMs, '0'.repeat(12)),
      endpoint: '/v1/chat/completions',
      completionWindow: '24h',
      windowMs: 86_400_000,
      metadata: { team: 'nights' },
    });
    const record: BatchRecord = { batch: { ...batch, status: 'completed' }, tenant, output_expires_after_seconds: null };
    return { id, key: keys.batch(tenant, id), record };
  });
}

async function seed(
  write: WriteAll,
  count: number,
  make: (createdMs: number) => { id: string; key: string; record: object },
): Promise<string[]> {
  const nowMs = Date.now();
  const all = Array.from({ length: count }, (_, index) => make(nowMs - index * 1000));
  await write(all.map(({ key, record }) => ({ key, body: Buffer.from(JSON.stringify(record)) })));
  return all.map(({ id }) => id);
}

import { Client } from 'minio';
import { createMinioObjectStore } from '../../src/storage/minio-object-store.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import { createPieceStore } from '../../src/storage/piece-store.ts';
import { ACCESS, type House } from '../chaos/house.ts';

const BUCKET = 'nightshift';

/** Copies every object of the bucket of a house into a new one, as any tool for S3 would: by reading and writing it. */
export async function copyBucket({ minioPort }: House, into: string): Promise<void> {
  const client = new Client({ endPoint: '127.0.0.1', port: minioPort, useSSL: false, ...ACCESS });
  await client.makeBucket(into);
  for await (const { name, size } of client.listObjectsV2(BUCKET, '', true)) {
    if (name !== undefined) await client.putObject(into, name, await client.getObject(BUCKET, name), size);
  }
}

/** The lines of a batch of one shard that have an outcome in a piece. */
export async function linesWithPiece({ minioPort }: House, bucket: string, batchId: string): Promise<Set<number>> {
  const { accessKey, secretKey } = ACCESS;
  const store = createMinioObjectStore({ endpoint: `http://127.0.0.1:${minioPort}`, bucket, region: 'us-east-1', accessKey, secretKey });
  const pieces = createPieceStore({ store, newNonce: () => 'reader', parts: createPartPool(1) });
  const lines = new Set<number>();
  for await (const entries of pieces.listPieceEntries(batchId, 0)) for (const { line } of entries) lines.add(line);
  store.close();
  return lines;
}

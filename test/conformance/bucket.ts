import { Client } from 'minio';
import type { Stack } from '../helpers/stack.ts';

/** The bucket beneath a stack, for what no client can bring about: a lost object, a file that is past its time. */
export interface Bucket {
  keys(prefix: string): Promise<string[]>;
  read(key: string): Promise<Buffer>;
  write(key: string, content: string | Buffer): Promise<void>;
  /** How many multipart uploads to exactly this key were neither completed nor aborted; MinIO lists them by key only. */
  halfUploads(key: string): Promise<number>;
}

export function bucketOf({ minio, env }: Stack): Bucket {
  const { hostname, port } = new URL(minio.endpoint);
  const client = new Client({
    endPoint: hostname,
    port: Number(port),
    useSSL: false,
    accessKey: minio.accessKey,
    secretKey: minio.secretKey,
  });
  const bucket = String(env['NIGHTSHIFT_S3_BUCKET']);
  return {
    async keys(prefix) {
      const found: string[] = [];
      for await (const { name } of client.listObjectsV2(bucket, prefix, true)) if (name !== undefined) found.push(name);
      return found;
    },
    async read(key) {
      const chunks: Buffer[] = [];
      for await (const chunk of await client.getObject(bucket, key)) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
    async halfUploads(key) {
      let found = 0;
      for await (const _upload of client.listIncompleteUploads(bucket, key, true)) found += 1;
      return found;
    },
    async write(key, content) {
      await client.putObject(bucket, key, Buffer.from(content));
    },
  };
}

/** Lets the file's time be over, a second ago. The API is started anew, because it may remember the record it wrote. */
export async function expireFile(stack: Stack, tenant: string, id: string): Promise<void> {
  const bucket = bucketOf(stack);
  const key = `files/${tenant}/${id}`;
  const record: Record<string, unknown> = JSON.parse((await bucket.read(key)).toString());
  // A record never changes, so both kinds of process remember what they have read of it.
  await Promise.all([stack.api.stop('SIGKILL'), stack.worker.stop('SIGKILL')]);
  await bucket.write(key, JSON.stringify({ ...record, expires_at: Math.floor(Date.now() / 1000) - 1 }));
  await Promise.all([stack.startApi(), stack.startWorker()]);
}

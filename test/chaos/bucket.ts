import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'minio';
import { ACCESS, type House } from './house.ts';

/** The bucket beneath a house, past all links. */
export interface Bucket {
  keys(prefix: string): Promise<string[]>;
  read(key: string): Promise<Buffer>;
  /** Files of multipart uploads that were neither completed nor aborted, on MinIO's disk: no listing shows them all. */
  halfUploads(): Promise<string[]>;
}

const BUCKET = 'nightshift';

export function bucketOf({ minioPort, minioDirectory }: Pick<House, 'minioPort' | 'minioDirectory'>): Bucket {
  const client = new Client({ endPoint: '127.0.0.1', port: minioPort, useSSL: false, ...ACCESS });
  return {
    async keys(prefix) {
      const found: string[] = [];
      for await (const { name } of client.listObjectsV2(BUCKET, prefix, true)) if (name !== undefined) found.push(name);
      return found;
    },
    async read(key) {
      const chunks: Buffer[] = [];
      for await (const chunk of await client.getObject(BUCKET, key)) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
    async halfUploads() {
      const found = await readdir(join(minioDirectory, '.minio.sys', 'multipart'), { recursive: true, withFileTypes: true });
      return found.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
    },
  };
}

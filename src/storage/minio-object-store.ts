import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { createDownload } from './download.ts';
import { createMinioClients, type MinioOptions } from './minio-clients.ts';
import { errorCode, isTransient, toObjectStoreError, withRetries } from './minio-transport.ts';
import { type ByteRange, type ListedObject, type ObjectStore, ObjectStoreError, type StoredBytes } from './object-store.ts';

/** A body that takes time to send; records are smaller. */
const LARGE_BODY_BYTES = 64 * 1024;

const KEYS_PER_REMOVE = 1000;

const FIRST_BYTE = { start: 0, end: 0 };

/** An `ObjectStore` on MinIO or any S3 server. Bodies are Buffers only: a stream handed to minio-js can end the process. */
export function createMinioObjectStore(options: MinioOptions): ObjectStore {
  const { bucket } = options;
  const { calls, uploads, downloads, close } = createMinioClients(options);

  async function put(key: string, body: Buffer, condition: Record<string, string>): Promise<void> {
    const request = { method: 'PUT', bucketName: bucket, objectName: key, headers: condition };
    const client = body.length < LARGE_BODY_BYTES ? calls : uploads;
    await readAll(await client.makeRequestAsync(request, body));
  }

  /** The answer of `ask` to a GET; null when there is no such object. */
  async function send<T>(
    ask: (key: string, headers: Record<string, string>) => Promise<T>,
    key: string,
    range?: ByteRange,
    condition: Record<string, string> = {},
  ): Promise<T | null> {
    const headers = range === undefined ? condition : { ...condition, range: `bytes=${range.start}-${range.end}` };
    try {
      return await ask(key, headers);
    } catch (error) {
      if (errorCode(error) === 'NoSuchKey') return null;
      throw error;
    }
  }

  async function askForRecord(key: string, headers: Record<string, string>): Promise<IncomingMessage> {
    return await calls.makeRequestAsync({ method: 'GET', bucketName: bucket, objectName: key, headers }, '', [200, 206]);
  }

  async function get(key: string, range?: ByteRange): Promise<StoredBytes | null> {
    return await withRetries('get', key, async () => {
      const response = await send(askForRecord, key, range);
      return response === null ? null : { body: await readAll(response), etag: etagOf(response) };
    });
  }

  async function stat(key: string): Promise<{ size: number; etag: string } | null> {
    return await withRetries('stat', key, async () => {
      const request = { method: 'HEAD', bucketName: bucket, objectName: key };
      const response = await calls.makeRequestAsync(request, '', [200, 404]);
      await readAll(response);
      if (response.statusCode === 200) return { size: Number(response.headers['content-length']), etag: etagOf(response) };
      // An answer to HEAD has no body. MinIO says in a header what is missing; of other stores a GET finds out.
      const code = response.headers['x-minio-error-code'];
      if (code === 'NoSuchBucket') throw new Error('the bucket does not exist');
      if (code === undefined) (await send(askForRecord, key, FIRST_BYTE))?.destroy();
      return null;
    });
  }

  async function* pages(prefix: string, delimiter: '' | '/', startAfter: string, pageSize: number) {
    for (let token = ''; ;) {
      const page = await withRetries('list', prefix, () =>
        calls.listObjectsV2Query(bucket, prefix, token, delimiter, pageSize, startAfter),
      );
      yield page.objects;
      if (!page.isTruncated) return;
      token = page.nextContinuationToken;
    }
  }

  async function abortMultipart(key: string, uploadId: string): Promise<void> {
    await withRetries('abortMultipart', key, async () => {
      try {
        await calls.abortMultipartUpload(bucket, key, uploadId);
      } catch (error) {
        if (errorCode(error) !== 'NoSuchUpload') throw error;
      }
    });
  }

  return {
    get,
    stat,
    abortMultipart,

    async open(key, range) {
      const response = await withRetries('open', key, () => send(downloads.read, key, range));
      if (response === null) return null;
      const size = Number(response.headers['content-length']);
      const { start, end } = range ?? { start: 0, end: size - 1 };
      const condition = { 'if-match': `"${etagOf(response)}"` };
      const body = createDownload(response.body, {
        size,
        async fetchFrom(bytes) {
          const rest = await withRetries('open', key, () => send(downloads.read, key, { start: start + bytes, end }, condition));
          if (rest === null) throw new Error('it was removed while it was read');
          return rest.body;
        },
        isTransient,
        toError: (error) => (error instanceof ObjectStoreError ? error : toObjectStoreError('open', key, error)),
      });
      return { body, size: Number(response.headers['content-range']?.split('/')[1] ?? size) };
    },

    async put(key, body) {
      await withRetries('put', key, () => put(key, body, {}));
    },

    async create(key, body) {
      return await withRetries('create', key, async () => {
        try {
          await put(key, body, { 'if-none-match': '*' });
          return 'created';
        } catch (error) {
          if (errorCode(error) === 'PreconditionFailed') return 'exists';
          throw error;
        }
      });
    },

    async replace(key, body, etag) {
      return await withRetries('replace', key, async (attempt) => {
        try {
          await put(key, body, { 'if-match': `"${etag}"` });
          return 'replaced';
        } catch (error) {
          const code = errorCode(error);
          if (code === 'NoSuchKey') return 'changed';
          if (code !== 'PreconditionFailed') throw error;
          // A try before may have written although its answer was an error or was lost.
          const written = attempt > 1 && (await get(key))?.body.equals(body) === true;
          return written ? 'replaced' : 'changed';
        }
      });
    },

    async *list(prefix, { startAfter = '', pageSize = 1000 } = {}): AsyncIterable<ListedObject> {
      for await (const objects of pages(prefix, '', startAfter, pageSize)) {
        for (const object of objects) {
          if (object.name !== undefined) yield { key: object.name, size: object.size, lastModified: object.lastModified };
        }
      }
    },

    async *listFolders(prefix) {
      for await (const objects of pages(prefix, '/', '', 1000)) {
        for (const object of objects) {
          if (object.prefix !== undefined) yield object.prefix.slice(prefix.length);
        }
      }
    },

    async remove(keys) {
      for (let start = 0; start < keys.length; start += KEYS_PER_REMOVE) {
        const some = keys.slice(start, start + KEYS_PER_REMOVE);
        const [first = ''] = some;
        await withRetries('remove', first, async () => {
          if (some.length === 1) return await calls.removeObject(bucket, first);
          const refused = await calls.removeObjects(bucket, some);
          if (refused.length > 0) throw new Error(`${refused.length} of ${some.length} keys refused: ${JSON.stringify(refused[0])}`);
        });
      }
    },

    async startMultipart(key) {
      return await withRetries('startMultipart', key, () => calls.initiateNewMultipartUpload(bucket, key, {}));
    },

    async uploadPart(key, uploadId, part, body) {
      return await withRetries('uploadPart', key, async () => {
        const target = { bucketName: bucket, objectName: key, uploadID: uploadId, partNumber: part, headers: {} };
        return (await uploads.uploadPart(target, body)).etag;
      });
    },

    async copyPart(key, uploadId, part, source, range) {
      const path = [bucket, ...source.split('/')].map(encodeURIComponent).join('/');
      const bytes = range === undefined ? {} : { 'x-amz-copy-source-range': `bytes=${range.start}-${range.end}` };
      const headers = { 'x-amz-copy-source': path, ...bytes };
      const target = { bucketName: bucket, objectName: key, uploadID: uploadId, partNumber: part, headers };
      return await withRetries('copyPart', key, async () => (await uploads.uploadPart(target)).etag);
    },

    async completeMultipart(key, uploadId, parts) {
      await withRetries('completeMultipart', key, async (attempt) => {
        try {
          await uploads.completeMultipartUpload(bucket, key, uploadId, [...parts]);
        } catch (error) {
          // A try before may have completed although its answer was lost; the upload is then gone, and the object is ours.
          const completed = attempt > 1 && errorCode(error) === 'NoSuchUpload' && (await stat(key))?.etag === multipartEtag(parts);
          if (!completed) throw error;
        }
      });
    },

    async listParts(key, uploadId) {
      return await withRetries('listParts', key, async () => {
        try {
          return (await calls.partsOf(bucket, key, uploadId)).map(({ part, etag, size }) => ({ part, etag, size }));
        } catch (error) {
          if (errorCode(error) === 'NoSuchUpload') return null;
          throw error;
        }
      });
    },

    async listMultipart(key) {
      // MinIO lists uploads for an exact key only, which is all that is wanted here.
      const found = await withRetries('listMultipart', key, () => calls.listIncompleteUploadsQuery(bucket, key, '', '', ''));
      return found.uploads.flatMap((upload) =>
        upload.key === key ? [{ uploadId: upload.uploadId, since: new Date(upload.initiated) }] : [],
      );
    },

    async ping() {
      await withRetries('ping', bucket, async () => {
        if (!(await calls.bucketExists(bucket))) throw new Error('the bucket does not exist');
      });
    },

    async ensureBucket() {
      await withRetries('ensureBucket', bucket, async () => {
        if (await calls.bucketExists(bucket)) return;
        try {
          await calls.makeBucket(bucket, options.region);
        } catch (error) {
          if (errorCode(error) !== 'BucketAlreadyOwnedByYou') throw error;
        }
      });
    },

    close,
  };
}

function etagOf(response: Pick<IncomingMessage, 'headers'>): string {
  return (response.headers.etag ?? '').replaceAll('"', '');
}

/** The tag S3 gives an object made of parts: the MD5 of their MD5s, and how many. */
function multipartEtag(parts: readonly { etag: string }[]): string {
  const md5s = Buffer.concat(parts.map((part) => Buffer.from(part.etag, 'hex')));
  return `${createHash('md5').update(md5s).digest('hex')}-${parts.length}`;
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks);
}

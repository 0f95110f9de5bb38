import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { type ByteRange, type ObjectStore, ObjectStoreError } from '../../src/storage/object-store.ts';

/** A bucket in memory with the rules of S3 for multipart uploads, in sizes that a test can hold. */
export interface MemoryStore extends ObjectStore {
  readonly objects: Map<string, Buffer>;
  readonly uploads: Map<string, { key: string; parts: Map<number, Buffer> }>;
  /** Parts that were sent or copied, in order, and how many bytes of the sent ones came through the process. */
  readonly sent: { parts: number[]; bytes: number };
  /** Called before each part; what it throws is thrown. */
  beforePart: (part: number) => Promise<void> | void;
}

export function createMemoryStore(rules: { minBytes: number; maxParts: number; equalParts?: boolean }): MemoryStore {
  const objects = new Map<string, Buffer>();
  const uploads: MemoryStore['uploads'] = new Map();
  let made = 0;
  const tag = (body: Buffer) => createHash('md5').update(body).digest('hex');
  const refuse = (operation: string, key: string, why: string) => new ObjectStoreError(operation, key, new Error(why));
  const within = (body: Buffer, range?: ByteRange) => (range === undefined ? body : body.subarray(range.start, range.end + 1));
  const unused = async () => assert.fail('this test needs a real bucket');

  function uploadOf(key: string, uploadId: string) {
    const upload = uploads.get(uploadId);
    if (upload?.key !== key) throw refuse('uploadPart', key, 'NoSuchUpload');
    return upload;
  }

  const store: MemoryStore = {
    objects,
    uploads,
    sent: { parts: [], bytes: 0 },
    beforePart: () => undefined,
    async get(key, range) {
      const body = objects.get(key);
      return body === undefined ? null : { body: within(body, range), etag: tag(body) };
    },
    async open(key, range) {
      const body = objects.get(key);
      return body === undefined ? null : { body: Readable.from([within(body, range)]), size: body.length };
    },
    async stat(key) {
      const body = objects.get(key);
      return body === undefined ? null : { size: body.length, etag: tag(body) };
    },
    put: async (key, body) => void objects.set(key, Buffer.from(body)),
    async create(key, body) {
      if (objects.has(key)) return 'exists';
      objects.set(key, Buffer.from(body));
      return 'created';
    },
    async replace(key, body, etag) {
      const found = objects.get(key);
      if (found === undefined || tag(found) !== etag) return 'changed';
      objects.set(key, Buffer.from(body));
      return 'replaced';
    },
    remove: async (keys) => keys.forEach((key) => objects.delete(key)),
    async startMultipart(key) {
      made += 1;
      uploads.set(`upload-${made}`, { key, parts: new Map() });
      return `upload-${made}`;
    },
    async uploadPart(key, uploadId, part, body) {
      await store.beforePart(part);
      if (part > rules.maxParts) throw refuse('uploadPart', key, 'InvalidArgument');
      uploadOf(key, uploadId).parts.set(part, Buffer.from(body));
      store.sent.parts.push(part);
      store.sent.bytes += body.length;
      return tag(body);
    },
    async copyPart(key, uploadId, part, source, range) {
      await store.beforePart(part);
      const body = objects.get(source);
      if (body === undefined || part > rules.maxParts) throw refuse('copyPart', key, 'InvalidArgument');
      const copied = Buffer.from(within(body, range));
      uploadOf(key, uploadId).parts.set(part, copied);
      store.sent.parts.push(part);
      return tag(copied);
    },
    async listParts(key, uploadId) {
      const upload = uploads.get(uploadId);
      if (upload?.key !== key) return null;
      return [...upload.parts].sort(([a], [b]) => a - b).map(([part, body]) => ({ part, etag: tag(body), size: body.length }));
    },
    async completeMultipart(key, uploadId, parts) {
      const upload = uploadOf(key, uploadId);
      const bodies = parts.map(({ part, etag }) => {
        const body = upload.parts.get(part);
        if (body === undefined || tag(body) !== etag) throw refuse('completeMultipart', key, 'InvalidPart');
        return body;
      });
      const [first] = bodies;
      for (const body of bodies.slice(0, -1)) {
        if (body.length < rules.minBytes) throw refuse('completeMultipart', key, 'EntityTooSmall');
        if (rules.equalParts === true && body.length !== first?.length) throw refuse('completeMultipart', key, 'InvalidPart');
      }
      objects.set(key, Buffer.concat(bodies));
      uploads.delete(uploadId);
    },
    abortMultipart: async (_, uploadId) => void uploads.delete(uploadId),
    listMultipart: unused,
    list: () => assert.fail('this test needs a real bucket'),
    listFolders: () => assert.fail('this test needs a real bucket'),
    ping: unused,
    ensureBucket: unused,
    close: () => undefined,
  };
  return store;
}

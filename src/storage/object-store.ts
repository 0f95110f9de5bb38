import type { Readable } from 'node:stream';

export { ObjectStoreError } from '../domain/object-store-error.ts';

/**
 * The port to an S3-compatible bucket: the few calls Nightshift needs, with the guarantees it builds on. Absence is null;
 * a lost race is `'exists'`, `'changed'`; everything else throws `ObjectStoreError`. Nothing here knows batches or files.
 */
export interface ObjectStore {
  /** Reads an object, or a range of it, into memory; null when it does not exist. A transfer that breaks off is begun again. */
  get(key: string, range?: ByteRange): Promise<StoredBytes | null>;
  /**
   * Opens an object for streaming, optionally from byte `start` to byte `end` inclusive; null when it does not exist.
   * Destroying the stream ends the transfer. `size` is that of the whole object. A reader may be as
   * slow as it likes: a transfer that breaks off is taken up where it was. One that stands still while the reader waits, or
   * cannot be taken up because the object is another one by then, errors the stream with `ObjectStoreError`.
   */
  open(key: string, range?: ByteRange): Promise<{ body: Readable; size: number } | null>;
  /** Size and tag of an object; null when it does not exist. */
  stat(key: string): Promise<{ size: number; etag: string } | null>;
  /** Writes an object, replacing any. */
  put(key: string, body: Buffer): Promise<void>;
  /**
   * Writes an object only if none has the key; `'exists'` otherwise. `'exists'` may be the echo of this very call: a write whose
   * answer was lost is repeated and finds itself. Who must know whether it won reads the object and compares.
   */
  create(key: string, body: Buffer): Promise<'created' | 'exists'>;
  /** Replaces an object only while its tag is `etag`; `'changed'` otherwise, but never for its own write that was repeated. */
  replace(key: string, body: Buffer, etag: string): Promise<'replaced' | 'changed'>;
  /**
   * Keys below a prefix in byte order, strictly after `startAfter` (a whole key) when given. Fetched as they are read, `pageSize`
   * keys at a time (1,000 at most and by default): who wants few keys says so, because the server works per key.
   */
  list(prefix: string, options?: { startAfter?: string; pageSize?: number }): AsyncIterable<ListedObject>;
  /** Names of the "folders" directly below a prefix ending in `/`, with their trailing slash, in byte order. */
  listFolders(prefix: string): AsyncIterable<string>;
  /** Removes objects; keys that do not exist are no error. */
  remove(keys: readonly string[]): Promise<void>;

  /** Starts a multipart upload and answers its id. If the answer is lost an upload may stay behind; `listMultipart` finds it. */
  startMultipart(key: string): Promise<string>;
  /** Sends one part (numbered from 1; at least 5 MiB except the last) and answers its tag. */
  uploadPart(key: string, uploadId: string, part: number, body: Buffer): Promise<string>;
  /** Makes one part out of an object of the bucket, or a range of it, whose bytes do not come here, and answers its tag. */
  copyPart(key: string, uploadId: string, part: number, source: string, range?: ByteRange): Promise<string>;
  /** The parts of an upload by number; null when the upload was completed or aborted. */
  listParts(key: string, uploadId: string): Promise<{ part: number; etag: string; size: number }[] | null>;
  /** Makes the object out of its parts, replacing any. */
  completeMultipart(key: string, uploadId: string, parts: readonly { part: number; etag: string }[]): Promise<void>;
  /** Ends a multipart upload and frees its parts; an unknown one is no error. */
  abortMultipart(key: string, uploadId: string): Promise<void>;

  /** The multipart uploads of exactly this key that were neither completed nor aborted. */
  listMultipart(key: string): Promise<{ uploadId: string; since: Date }[]>;

  /** Resolves when the bucket can be reached; throws `ObjectStoreError` otherwise. */
  ping(): Promise<void>;
  /** Makes the bucket if it is missing. */
  ensureBucket(): Promise<void>;
  /** Closes idle connections. */
  close(): void;
}

/** First and last byte, both inclusive. */
export interface ByteRange {
  start: number;
  end: number;
}

export interface StoredBytes {
  body: Buffer;
  etag: string;
}

export interface ListedObject {
  key: string;
  size: number;
  lastModified: Date;
}

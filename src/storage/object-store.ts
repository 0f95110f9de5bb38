import type { Readable } from 'node:stream';

/**
 * The port to an S3-compatible bucket: the few calls Nightshift needs, with the guarantees it builds on. Absence is null;
 * a lost race is `'exists'`, `'changed'`; everything else throws `ObjectStoreError`. Nothing here knows batches or files.
 */
export interface ObjectStore {
  /** Reads a whole object; null when it does not exist. For small objects. */
  get(key: string): Promise<StoredBytes | null>;
  /**
   * Opens an object for streaming, optionally from byte `start` to byte `end` inclusive; null when it does not exist.
   * Destroying the stream ends the transfer. `size` is that of the whole object.
   */
  open(key: string, range?: ByteRange): Promise<{ body: Readable; size: number } | null>;
  /** Size and tag of an object; null when it does not exist. */
  stat(key: string): Promise<{ size: number; etag: string } | null>;
  /** Writes an object, replacing any. */
  put(key: string, body: Buffer): Promise<void>;
  /** Writes an object only if none has the key; `'exists'` otherwise. A second run with the same bytes also says `'exists'`. */
  create(key: string, body: Buffer): Promise<'created' | 'exists'>;
  /** Replaces an object only while its tag is `etag`; `'changed'` otherwise. */
  replace(key: string, body: Buffer, etag: string): Promise<'replaced' | 'changed'>;
  /** Keys below a prefix in byte order, strictly after `startAfter` (a whole key) when given. Pages are fetched as they are read. */
  list(prefix: string, options?: { startAfter?: string }): AsyncIterable<ListedObject>;
  /** Names of the "folders" directly below a prefix ending in `/`, with their trailing slash, in byte order. */
  listFolders(prefix: string): AsyncIterable<string>;
  /** Removes objects; keys that do not exist are no error. */
  remove(keys: readonly string[]): Promise<void>;

  /** Starts a multipart upload and answers its id. */
  startMultipart(key: string): Promise<string>;
  /** Sends one part (numbered from 1; at least 5 MiB except the last) and answers its tag. */
  uploadPart(key: string, uploadId: string, part: number, body: Buffer): Promise<string>;
  /** Makes the object out of its parts, replacing any. */
  completeMultipart(key: string, uploadId: string, parts: readonly { part: number; etag: string }[]): Promise<void>;
  /** Ends a multipart upload and frees its parts; an unknown one is no error. */
  abortMultipart(key: string, uploadId: string): Promise<void>;

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

/** The bucket could not be reached or refused; a later try may work. `operation` and `key` say what was being done. */
export class ObjectStoreError extends Error {
  override readonly name = 'ObjectStoreError';
  readonly operation: string;
  readonly key: string;

  constructor(operation: string, key: string, cause: unknown) {
    super(`object store: ${operation} ${key} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.operation = operation;
    this.key = key;
  }
}

import type { ObjectStore } from './object-store.ts';
import type { PartPool } from './part-pool.ts';
import type { Readable } from 'node:stream';
import type { File, FilePurpose } from '../domain/file.ts';
import type { ByteRange } from './object-store.ts';

/** The files of all tenants: immutable records, their bytes, and tombstones of what was deleted. */
export interface FileStore {
  /**
   * Begins a file whose bytes are then written in order; the record comes last, so a half upload is never a file.
   * `id` is made by the caller; the bytes lie under it.
   */
  beginContent(tenant: string, id: string): Promise<ContentWriter>;
  /** Makes the file visible. Create-only, and never over a tombstone; `'exists'` when either was there. */
  createRecord(tenant: string, file: File): Promise<'created' | 'exists'>;
  /** The record; null when unknown, deleted, expired or another tenant's. */
  get(tenant: string, id: string): Promise<File | null>;
  /** Opens the bytes of a file record (or a range of them); null when they are gone. */
  openContent(tenant: string, id: string, range?: ByteRange): Promise<{ body: Readable; size: number } | null>;
  /** One page, newest first unless `order` is `asc`; `after` is exclusive and may be a deleted id. `'unknown_cursor'` when nobody of this tenant ever had it. */
  list(tenant: string, query: FileQuery): Promise<Page<File> | 'unknown_cursor'>;
  /** Tombstone first, then the record; bytes go at once unless an open batch names the file. False when there is no such file. */
  delete(tenant: string, id: string): Promise<boolean>;
}

export interface FileQuery {
  limit: number;
  order: 'asc' | 'desc';
  after: string | null;
  purpose: FilePurpose | string | null;
}

/** One page of a list; `hasMore` says whether anything follows. */
export interface Page<T> {
  data: T[];
  hasMore: boolean;
}

/** Writes the bytes of one object in bounded memory; nothing is readable before `complete`. */
export interface ContentWriter {
  /** Bytes taken so far. */
  readonly bytes: number;
  /** Takes a chunk; resolves when there is room for more. */
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the object readable. */
  complete(): Promise<void>;
  /** Drops everything written; safe at any time and more than once. */
  abort(): Promise<void>;
}

/** The files in a bucket. `nowMs` is the clock (Unix milliseconds), `newNonce` makes names no other process has. */
export function createFileStore(_options: { store: ObjectStore; nowMs: () => number; newNonce: () => string; parts: PartPool }): FileStore {
  throw new Error('not written yet');
}

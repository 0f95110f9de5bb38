import type { ContentWriter } from './file-store.ts';
import type { ObjectStore } from './object-store.ts';
import type { PartPool } from './part-pool.ts';

/** Writes one object in bounded memory. `nonce` names the marker of the upload. */
export function createMultipartWriter(_options: { store: ObjectStore; key: string; nonce: string; parts: PartPool; keepMarker?: boolean }): ContentWriter {
  throw new Error('not written yet');
}

import type { ObjectStore } from './object-store.ts';

/** Bytes of all objects below a prefix; keys are listed, nothing is read. */
export async function bytesBelow(store: ObjectStore, prefix: string): Promise<number> {
  let bytes = 0;
  for await (const { size } of store.list(prefix)) bytes += size;
  return bytes;
}

import { parseJsonExactly } from '../domain/parse-json-exactly.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';

/** Small GETs that run at a time when many records are read. */
export const READS_AT_A_TIME = 32;

/** The bytes under which a value lies in the bucket: one line of JSON. */
export function toJsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Reads a JSON object that Nightshift wrote; null when there is none. Its shape is trusted. */
export async function getJson<T>(store: ObjectStore, key: string): Promise<T | null> {
  const found = await store.get(key);
  return found === null ? null : parseJson<T>(key, found.body);
}

/** Create-only: answers what stands under the key, which may be what another wrote. */
export async function createJson<T>(store: ObjectStore, key: string, value: T): Promise<T> {
  if ((await store.create(key, toJsonBytes(value))) === 'created') return value;
  const found = await getJson<T>(store, key);
  if (found === null) throw new ObjectStoreError('create', key, new Error('it existed, and then it did not'));
  return found;
}

export function parseJson<T>(key: string, bytes: Buffer): T {
  try {
    return parseJsonExactly(bytes.toString()) as T;
  } catch (error) {
    // No retry cures it, and the bucket is not away: a defect, not an `ObjectStoreError`.
    throw new Error(`the object ${key} is not the JSON it should be`, { cause: error });
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { parseJson, toJsonBytes } from './json-objects.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';
import { backoffMs } from '../domain/backoff.ts';

const UPDATE_TRIES = 100;
const LONGEST_WAIT_MS = 200;

/**
 * Changes a JSON object by compare-and-set: reads it, asks `change` for the next value and writes that if nobody wrote
 * meanwhile, else begins again. When `change` answers null nothing is written. Answers the value as it now stands; null when
 * there is none. `change` may run several times and must be pure.
 */
export async function updateJson<T>(store: ObjectStore, key: string, change: (found: T) => T | null): Promise<T | null> {
  for (let attempt = 1; attempt <= UPDATE_TRIES; attempt += 1) {
    const found = await store.get(key);
    if (found === null) return null;
    const value = parseJson<T>(key, found.body);
    const next = change(value);
    if (next === null) return value;
    if ((await store.replace(key, toJsonBytes(next), found.etag)) === 'replaced') return next;
    // Somebody else wrote. All who lost waiting equally long would meet again.
    await delay(Math.random() * backoffMs(attempt, 5, LONGEST_WAIT_MS));
  }
  throw new ObjectStoreError('update', key, new Error(`changed by others ${UPDATE_TRIES} times in a row`));
}

/** The same for an object that need not be there: then `change` begins with `empty`, and its answer is created. */
export async function upsertJson<T>(store: ObjectStore, key: string, empty: T, change: (found: T) => T | null): Promise<T> {
  for (;;) {
    const standing = await updateJson<T>(store, key, change);
    if (standing !== null) return standing;
    const first = change(empty);
    if (first === null) return empty;
    if ((await store.create(key, toJsonBytes(first))) === 'created') return first;
  }
}

import { createHash } from 'node:crypto';
import { copyObject } from './copy-object.ts';
import { mapInOrder } from './in-order.ts';
import { createJson, getJson } from './json-objects.ts';
import { keys, prefixes } from './keys.ts';
import type { ListedObject, ObjectStore } from './object-store.ts';

/** Objects copied at a time; each holds 8 MiB at most twice. */
const AT_A_TIME = 8;
const KEYS_PER_REMOVE = 1000;

export interface CopyTask {
  from: ObjectStore;
  to: ObjectStore;
  /** What names the source, so that a copy is gone on with from the same one only. */
  source: string;
  signal: AbortSignal;
  /** Hears of each object that is in the target. */
  onObject: (bytes: number) => void;
}

/** Says how many objects the target has now, and how many of them were there already because of a copy that was broken off. */
export interface CopyResult {
  objects: number;
  bytes: number;
  found: number;
}

/** The copy cannot begin, or cannot be trusted. The message is for people. */
export class CopyRefused extends Error {
  override readonly name = 'CommandError';
}

/**
 * Makes a store equal to another one, object by object, and checks each: its size, and its bytes by their MD5. The target must be empty, or
 * hold what an earlier copy from the same source left. Nothing may write to either store meanwhile.
 */
export async function copyStore(task: CopyTask): Promise<CopyResult> {
  const { from, to, source, signal, onObject } = task;
  if ((await from.stat(keys.unfinishedCopy)) !== null) {
    throw new CopyRefused('The source holds only a part of a copy, which was broken off. Finish that copy first.');
  }
  await claimTarget(to, source);
  const result: CopyResult = { objects: 0, bytes: 0, found: 0 };
  const surplus: string[] = [];
  const copies = mapInOrder(both(from, to, surplus), AT_A_TIME, async ({ object, isThere }) => {
    signal.throwIfAborted();
    const isFound = isThere && (await isSame(from, to, object));
    if (!isFound) await copyObject({ from, to, object, signal });
    return { bytes: object.size, isFound };
  });
  for await (const { bytes, isFound } of copies) {
    result.objects += 1;
    result.bytes += bytes;
    if (isFound) result.found += 1;
    onObject(bytes);
  }
  for (let at = 0; at < surplus.length; at += KEYS_PER_REMOVE) await to.remove(surplus.slice(at, at + KEYS_PER_REMOVE));
  await assertEqual(from, to);
  await to.remove([keys.unfinishedCopy]);
  return result;
}

async function claimTarget(to: ObjectStore, source: string): Promise<void> {
  const found = await getJson<{ source: string }>(to, keys.unfinishedCopy);
  if (found !== null && found.source !== source) {
    throw new CopyRefused(
      `The target holds a part of a copy from ${found.source}, not from ${source}. Go on with that one, or empty the target.`,
    );
  }
  if (found !== null) return;
  for await (const { key } of copied(to, 2)) {
    throw new CopyRefused(`The target is not empty: it holds the object ${key}. Copy into an empty store; nothing was changed.`);
  }
  await createJson(to, keys.unfinishedCopy, { source });
}

/** What is copied of a store, in key order. */
async function* copied(store: ObjectStore, pageSize?: number): AsyncGenerator<ListedObject> {
  for await (const object of store.list('', pageSize === undefined ? {} : { pageSize })) {
    if (object.key !== keys.unfinishedCopy && !object.key.startsWith(prefixes.probes)) yield object;
  }
}

/** Objects of the source, and whether the target has one of the same key and size. `surplus` gets the keys that only the target has. */
async function* both(from: ObjectStore, to: ObjectStore, surplus: string[]): AsyncGenerator<{ object: ListedObject; isThere: boolean }> {
  const targets = copied(to);
  let target = await targets.next();
  for await (const object of copied(from)) {
    while (target.done !== true && isBefore(target.value.key, object.key)) {
      surplus.push(target.value.key);
      target = await targets.next();
    }
    const isThere = target.done !== true && target.value.key === object.key && target.value.size === object.size;
    if (target.done !== true && target.value.key === object.key) target = await targets.next();
    yield { object, isThere };
  }
  for (; target.done !== true; target = await targets.next()) surplus.push(target.value.key);
}

/** Keys are listed in the order of their bytes, which is not that of JavaScript's strings. */
function isBefore(one: string, other: string): boolean {
  return Buffer.compare(Buffer.from(one), Buffer.from(other)) < 0;
}

/** Objects that were made of parts have tags that depend on the store, but are never changed: their size says enough. */
async function isSame(from: ObjectStore, to: ObjectStore, { key }: ListedObject): Promise<boolean> {
  const [one, other] = await Promise.all([from.stat(key), to.stat(key)]);
  if (one === null || other === null || one.size !== other.size) return false;
  return one.etag === other.etag || one.etag.includes('-');
}

async function assertEqual(from: ObjectStore, to: ObjectStore): Promise<void> {
  const [sum, target] = [await sumOf(from), await sumOf(to)];
  if (sum === target) return;
  throw new CopyRefused(
    'The stores are not equal after the copy, because something wrote to one of them. Stop API and workers and run the copy again.',
  );
}

async function sumOf(store: ObjectStore): Promise<string> {
  const hash = createHash('sha256');
  for await (const { key, size } of copied(store)) hash.update(JSON.stringify([key, size]));
  return hash.digest('hex');
}

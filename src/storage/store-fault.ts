import { keys } from './keys.ts';
import { type ObjectStore, ObjectStoreError } from './object-store.ts';

/** Names in byte order. By number, by letter and by case the order would be another one. */
const IN_ORDER = ['10', '9', 'B', 'a'];
const WRITTEN = [IN_ORDER[2], IN_ORDER[0], IN_ORDER[3], IN_ORDER[1]];
/** Tags may be hashes of the bytes, so what is replaced is never replaced by the same. */
const CREATED = ['1', '2'].map((text) => Buffer.from(text));
const REPLACING = ['3', '4'].map((text) => Buffer.from(text));
/** VersityGW 1.7.0 lets both writers win on POSIX files now and then: one race showed it in 5 probes of 60, eight at once in 60 of 60. */
const RACES = 8;
const WRONG_TAG = '0'.repeat(32);

/**
 * Checks a store for the conditions that everything in it depends on, with some dozens of calls on objects below `probe/<nonce>`, which
 * it removes. Answers what the store does wrong, as the rest of a sentence that begins with "it"; null when it is fit for use.
 * Throws `ObjectStoreError` where the store cannot be reached or refuses access.
 */
export async function findStoreFault(store: ObjectStore, nonce: string): Promise<string | null> {
  const key = keys.probe(nonce, 'record');
  const raced = Array.from({ length: RACES }, (_, round) => keys.probe(nonce, `race-${round}`));
  const names = IN_ORDER.map((name) => keys.probe(nonce, `list/${name}`));
  try {
    const outcomes = await Promise.allSettled([faultOfWrites(store, key), faultOfLists(store, nonce), faultOfRaces(store, raced)]);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason;
      if (outcome.value !== null) return outcome.value;
    }
    return null;
  } catch (error) {
    if (!(error instanceof ObjectStoreError) || !/not ?implemented/i.test(error.message)) throw error;
    return `does not implement a call that Nightshift needs (${error.operation})`;
  } finally {
    // What stays, the sweep removes.
    await store.remove([key, ...names, ...raced]).catch(() => undefined);
  }
}

async function faultOfWrites(store: ObjectStore, key: string): Promise<string | null> {
  await store.create(key, Buffer.from('1'));
  if ((await store.create(key, Buffer.from('2'))) !== 'exists') {
    return 'ignores If-None-Match: it overwrote an object that a write was to create';
  }
  if ((await store.replace(key, Buffer.from('3'), WRONG_TAG)) !== 'changed') {
    return 'ignores If-Match: it replaced an object that had another ETag';
  }
  const found = await store.get(key);
  if (found === null || found.body.toString() !== '1') return 'does not show an object right after it was written';
  if ((await store.replace(key, Buffer.from('4'), found.etag)) !== 'replaced') {
    return 'refuses If-Match: it did not replace an object whose ETag was the one it had told';
  }
  return null;
}

/** All at once, because a process waits for them when it starts. */
async function faultOfRaces(store: ObjectStore, raced: readonly string[]): Promise<string | null> {
  const faults = await Promise.all(raced.map(async (key) => await faultOfRace(store, key)));
  return faults.find((fault) => fault !== null) ?? null;
}

/** A store that looks first and writes then is caught by a race in half of the rounds or less. */
async function faultOfRace(store: ObjectStore, key: string): Promise<string | null> {
  const created = await Promise.all(CREATED.map(async (body) => await store.create(key, body)));
  if (created.every((outcome) => outcome === 'created')) {
    return 'does not keep to If-None-Match: two writes at the same time both created the object';
  }
  const etag = (await store.stat(key))?.etag ?? '';
  const replaced = await Promise.all(REPLACING.map(async (body) => await store.replace(key, body, etag)));
  if (replaced.every((outcome) => outcome === 'replaced')) {
    return 'does not keep to If-Match: two writes at the same time both replaced the object with the same ETag';
  }
  return null;
}

async function faultOfLists(store: ObjectStore, nonce: string): Promise<string | null> {
  const prefix = keys.probe(nonce, 'list/');
  await Promise.all(WRITTEN.map(async (name) => await store.put(`${prefix}${name}`, Buffer.alloc(0))));
  async function list(options: { startAfter?: string; pageSize?: number }): Promise<string> {
    const found: string[] = [];
    for await (const { key } of store.list(prefix, options)) {
      found.push(key.slice(prefix.length));
      // A store that begins anew with each page would never end.
      if (found.length > IN_ORDER.length) break;
    }
    return found.join();
  }
  const listed = await list({ pageSize: 3 });
  if (listed !== IN_ORDER.join()) return `lists keys in the order ${listed}, but byte order is ${IN_ORDER.join()}`;
  const after = await list({ startAfter: `${prefix}${IN_ORDER[1]}` });
  return after === IN_ORDER.slice(2).join() ? null : `ignores start-after: a list after ${IN_ORDER[1]} was ${after}`;
}

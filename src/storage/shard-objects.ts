import { mapInOrder } from './in-order.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';

interface ShardObject {
  key: string;
  bytes: number;
}

/** Objects up to this size are read whole, so many ahead; a larger one is streamed when it is its turn. */
const SMALL_BYTES = 1024 * 1024;
const READ_AHEAD = 4;

/** The contents of these objects, one after the other, in bounded memory. Fails where one is not there, or not as long as it should be. */
export async function* readShardObjects(store: ObjectStore, objects: readonly ShardObject[]): AsyncGenerator<Buffer, void, undefined> {
  const ahead = mapInOrder(objects, READ_AHEAD, async (object) => ({ object, whole: await readSmall(store, object) }));
  for await (const { object, whole } of ahead) {
    let bytes = 0;
    for await (const chunk of whole ?? (await open(store, object))) {
      bytes += chunk.length;
      yield chunk;
    }
    if (bytes !== object.bytes) throw wrong(object, `gave ${bytes} bytes and not ${object.bytes}`);
  }
}

async function readSmall(store: ObjectStore, object: ShardObject): Promise<Buffer[] | null> {
  if (object.bytes > SMALL_BYTES) return null;
  // As it comes: put together, each would be in memory twice.
  const chunks: Buffer[] = [];
  for await (const chunk of await open(store, object)) chunks.push(chunk);
  return chunks;
}

async function open(store: ObjectStore, object: ShardObject): Promise<AsyncIterable<Buffer>> {
  const found = await store.open(object.key);
  if (found === null) throw missing(object);
  return found.body;
}

function missing(object: ShardObject): ObjectStoreError {
  return wrong(object, 'is not there');
}

function wrong({ key }: ShardObject, what: string): ObjectStoreError {
  return new ObjectStoreError('open', key, new Error(`a shard result names it, but it ${what}`));
}

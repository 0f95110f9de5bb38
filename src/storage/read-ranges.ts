import type { JoinedObject, JoinedRange } from '../domain/join-parts.ts';
import { mapInOrder } from './in-order.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';

/** Objects of one part that are read at a time. */
const READS_AT_A_TIME = 8;

/** Reads the ranges, one after the other, into a buffer of their length. */
export async function readRanges(store: Pick<ObjectStore, 'open'>, ranges: readonly JoinedRange[], into: Buffer): Promise<Buffer> {
  let end = 0;
  const placed = ranges.map((range) => ({ range, offset: (end += range.end - range.start) - (range.end - range.start) }));
  const read = async ({ range: { object, start, end: stop }, offset }: (typeof placed)[number]) => {
    const found = await store.open(object.key, { start, end: stop - 1 });
    if (found?.size !== object.bytes) {
      found?.body.destroy();
      throw wrong(object, found === null ? 'is not there' : `has ${found.size} bytes and not ${object.bytes}`);
    }
    let bytes = 0;
    for await (const chunk of found.body as AsyncIterable<Buffer>) bytes += chunk.copy(into, offset + bytes, 0, stop - start - bytes);
    if (bytes !== stop - start) throw wrong(object, `gave ${bytes} bytes and not ${stop - start}`);
  };
  for await (const _ of mapInOrder(placed, READS_AT_A_TIME, read));
  return into;
}

function wrong({ key }: JoinedObject, what: string): ObjectStoreError {
  return new ObjectStoreError('open', key, new Error(`a shard result names it, but it ${what}`));
}

/** An object to be joined to others; `shard` numbers it. */
export interface JoinedObject {
  shard: number;
  key: string;
  bytes: number;
}

/** Where the next part begins: so many bytes into the object of a shard, or at the first object after it. */
export interface JoinPlace {
  shard: number;
  offset: number;
}

/** Bytes of one object, `end` excluded. */
export interface JoinedRange {
  object: JoinedObject;
  start: number;
  end: number;
}

/** One part of the whole: copied within the bucket where it is a range of one object, else put together out of several. */
export interface JoinedPart {
  bytes: number;
  isCopy: boolean;
  ranges: JoinedRange[];
  /** Where the part after it begins. */
  next: JoinPlace;
}

/** What a store demands of parts. */
export interface PartLimits {
  /** Smallest part that is not the last. */
  minBytes: number;
  /** Largest part that is copied. */
  maxCopyBytes: number;
  /** Whether all parts but the last have one size, which some stores demand. */
  equalParts: boolean;
}

/** Bytes of a part that is put together, of a smallest part: 8 MiB of 5 MiB. */
export function joinedPartBytes(minBytes: number): number {
  return Math.floor((minBytes * 8) / 5);
}

/**
 * Cuts the objects from a place on into parts. Parts of one size are copied where they lie in one object. Otherwise what has at least
 * `minBytes` left is copied, and what has less is put together with what follows. The cut depends on the objects alone, so whoever cuts comes to the same parts; without `isLast`, more objects follow, and
 * what does not make a part yet is left over.
 */
export function* cutParts(
  objects: readonly JoinedObject[],
  from: JoinPlace,
  { limits, isLast }: { limits: PartLimits; isLast: boolean },
): Generator<JoinedPart, void, undefined> {
  const { minBytes, maxCopyBytes, equalParts } = limits;
  const maxBytes = joinedPartBytes(minBytes);
  let at = objects.findIndex(({ shard }) => shard >= from.shard);
  if (at === -1) return;
  let start = objects[at]?.shard === from.shard ? from.offset : 0;
  let ranges: JoinedRange[] = [];
  let bytes = 0;

  function take(object: JoinedObject, length: number): void {
    ranges.push({ object, start, end: start + length });
    bytes += length;
    start += length;
    if (start < object.bytes) return;
    at += 1;
    start = 0;
  }

  function cut(isCopy: boolean): JoinedPart {
    const last = ranges.at(-1);
    const shard = last?.object.shard ?? from.shard;
    const isUsedUp = last === undefined || last.end === last.object.bytes;
    const part = { bytes, isCopy, ranges, next: isUsedUp ? { shard: shard + 1, offset: 0 } : { shard, offset: last.end } };
    ranges = [];
    bytes = 0;
    return part;
  }

  for (let object = objects[at]; object !== undefined; object = objects[at]) {
    const left = object.bytes - start;
    const mayCopy = equalParts ? bytes === 0 && left >= maxBytes : left >= minBytes;
    if (mayCopy && bytes === 0) {
      take(object, equalParts ? maxBytes : Math.min(left, maxCopyBytes));
      yield cut(true);
    } else if (mayCopy && bytes >= minBytes) {
      yield cut(false);
    } else {
      // No more than makes the part whole, where the rest of the object can then be copied.
      const missing = minBytes - bytes;
      take(object, mayCopy && left - missing >= minBytes ? missing : Math.min(left, maxBytes - bytes));
      if (bytes === maxBytes) yield cut(false);
    }
  }
  if (isLast && bytes > 0) yield cut(false);
}

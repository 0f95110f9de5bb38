import { parseJson } from './json-objects.ts';
import { type ListedObject, type ObjectStore, ObjectStoreError } from './object-store.ts';
import { type Failure, failureKey } from '../domain/failures.ts';
import type { LineResult, PieceEntry } from '../domain/piece.ts';

/**
 * A piece is JSONL: its first line says which result lines follow, in order, with their length in bytes (line break not
 * counted), so that what a piece holds is known without reading it all, and a person can look at it with `head`.
 */
interface PieceHeader {
  entries: (Omit<PieceEntry, 'key' | 'offset' | 'resultLine' | 'failure'> & { failure?: number })[];
  /** Why lines failed. An entry names its place in here, because many lines fail for the same reason. */
  failures?: Failure[];
}

/** Pieces up to this size are read whole, and of larger ones this much to begin with; the header of 1,000 lines fits. */
const FIRST_READ_BYTES = 256 * 1024;
const LINE_BREAK = Buffer.from('\n');

/** The bytes of a piece. */
export function encodePiece(results: readonly LineResult[]): Buffer {
  const failures: Failure[] = [];
  const places = new Map<string, number>();
  const placeOf = (failure: Failure): number => {
    const key = failureKey(failure);
    const place = places.get(key) ?? failures.push(failure) - 1;
    places.set(key, place);
    return place;
  };
  const entries = results.map(({ failure, resultLine, ...entry }) => ({
    ...{ ...entry, length: resultLine.length },
    ...(failure === undefined ? {} : { failure: placeOf(failure) }),
  }));
  const header: PieceHeader = { entries, ...(failures.length === 0 ? {} : { failures }) };
  const lines = results.flatMap(({ resultLine }) => [resultLine, LINE_BREAK]);
  return Buffer.concat([Buffer.from(JSON.stringify(header)), LINE_BREAK, ...lines]);
}

/** What a listed piece holds, and where; with its result lines where the piece is read whole and `kept` has room for it. */
export async function readPieceEntries(
  store: ObjectStore,
  { key, size }: ListedObject,
  kept: { bytesLeft: number },
): Promise<PieceEntry[]> {
  const { body, headerEnd } = await readHeader(store, key, size);
  const isKept = body.length >= size && size <= kept.bytesLeft;
  if (isKept) kept.bytesLeft -= size;
  let offset = headerEnd + LINE_BREAK.length;
  const { entries, failures = [] } = parseJson<PieceHeader>(key, body.subarray(0, headerEnd));
  return entries.map(({ failure: place, ...listed }) => {
    const failure = place === undefined ? undefined : failures[place];
    const entry: PieceEntry = { ...listed, ...(failure === undefined ? {} : { failure }), key, offset };
    if (isKept) entry.resultLine = body.subarray(offset, offset + listed.length);
    offset += listed.length + LINE_BREAK.length;
    return entry;
  });
}

/** The beginning of a piece, header included. */
async function readHeader(store: ObjectStore, key: string, size: number): Promise<{ body: Buffer; headerEnd: number }> {
  for (let wanted = FIRST_READ_BYTES; ; wanted *= 8) {
    const found = await (wanted >= size ? store.get(key) : store.get(key, { start: 0, end: wanted - 1 }));
    const headerEnd = found?.body.indexOf('\n') ?? -1;
    if (found !== null && headerEnd >= 0) return { body: found.body, headerEnd };
    if (found === null || wanted >= size) throw new ObjectStoreError('read', key, new Error('not a piece'));
  }
}

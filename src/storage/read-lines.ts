import { mapInOrder } from './in-order.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';

/** Where the bytes of a line are: in an object, or here. */
export interface LinePlace {
  key: string;
  offset: number;
  length: number;
  resultLine?: Buffer;
}

/** Result lines in memory at a time; a longer line is alone. */
const WINDOW_BYTES = 24 * 1024 * 1024;
/** Two lines of a piece that are this close are read in one go, what lies between included. */
const GAP_BYTES = 16 * 1024;
const READS_AT_A_TIME = 16;

/** A stretch of a piece, and which lines are wanted from it. */
interface Span {
  key: string;
  start: number;
  end: number;
  entries: LinePlace[];
}

/**
 * The lines of the entries, in their order, a window at a time. Read in windows of 24 MiB: in one, neighbours in a piece come in one GET, so
 * the usual shard costs one GET per piece, whatever order its lines are wanted in.
 */
export async function* readLines(
  store: Pick<ObjectStore, 'get'>,
  entries: readonly LinePlace[],
): AsyncGenerator<Buffer[], void, undefined> {
  for (const window of cutWindows(entries)) {
    const lines = new Map<LinePlace, Buffer>();
    const unread = window.filter(({ resultLine }) => resultLine === undefined);
    for await (const read of mapInOrder(joinNeighbours(unread), READS_AT_A_TIME, (span) => readSpan(store, span))) {
      for (const [entry, line] of read) lines.set(entry, line);
    }
    yield window.flatMap((entry) => entry.resultLine ?? lines.get(entry) ?? []);
  }
}

function* cutWindows(entries: readonly LinePlace[]): Iterable<LinePlace[]> {
  let window: LinePlace[] = [];
  let bytes = 0;
  for (const entry of entries) {
    if (window.length > 0 && bytes + entry.length > WINDOW_BYTES) {
      yield window;
      window = [];
      bytes = 0;
    }
    window.push(entry);
    bytes += entry.length;
  }
  if (window.length > 0) yield window;
}

function joinNeighbours(entries: readonly LinePlace[]): Span[] {
  const byPlace = entries.toSorted((a, b) => (a.key === b.key ? a.offset - b.offset : a.key < b.key ? -1 : 1));
  const spans: Span[] = [];
  for (const entry of byPlace) {
    const last = spans.at(-1);
    const end = entry.offset + entry.length;
    if (last !== undefined && last.key === entry.key && entry.offset - last.end <= GAP_BYTES) {
      last.end = Math.max(last.end, end);
      last.entries.push(entry);
    } else {
      spans.push({ key: entry.key, start: entry.offset, end, entries: [entry] });
    }
  }
  return spans;
}

async function readSpan(store: Pick<ObjectStore, 'get'>, { key, start, end, entries }: Span): Promise<[LinePlace, Buffer][]> {
  const found = await store.get(key, { start, end: end - 1 });
  if (found?.body.length !== end - start) {
    throw new ObjectStoreError('read', key, new Error(`bytes ${start} to ${end} of the piece are not there`));
  }
  const { body } = found;
  return entries.map((entry) => [entry, body.subarray(entry.offset - start, entry.offset - start + entry.length)]);
}

import { hash } from 'node:crypto';
import { type BatchRecord, isTerminal } from '../domain/batch.ts';
import { type KnownLine, type LineOutcome, locateLines } from '../domain/closed-lines.ts';
import { customIdHash } from '../domain/custom-ids.ts';
import { type PieceEntry, takeOutcome } from '../domain/piece.ts';
import { readResultLineHead, RESULT_HEAD_BYTES, type ResultLineHead, resultLineValue } from '../domain/result-line.ts';
import type { FileStore } from './file-store.ts';
import { keys, shardNumber } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import type { PieceStore } from './piece-store.ts';
import { readLines } from './read-lines.ts';
import { indexOwner, linesWithHash, readIndexedLines, readIndexHead } from './result-index.ts';

/** The results of batches, line by line, while they run and after they have ended. */
export interface ResultStore {
  /** `'gone'` when the batch had results, and its files are deleted. */
  page(record: BatchRecord, query: ResultQuery): Promise<ResultPage | 'gone'>;
}

export interface ResultQuery {
  /** Only lines after this one. */
  after: number;
  limit: number;
  /** Null for all. */
  outcomes: ReadonlySet<LineOutcome> | null;
  /** Null for all. */
  customId: string | null;
  withBody: boolean;
  signal?: AbortSignal;
}

export interface ResultPage {
  data: KnownResult[];
  hasMore: boolean;
  /** Every line up to this one was looked at. */
  last: number;
}

export interface KnownResult extends KnownLine {
  head: ResultLineHead;
  /** The JSON of the body, or of the error if there was no answer; null where it was not asked for or is too long. */
  value: Buffer | null;
}

/** The longest result line that is read whole. A process answers many pages at a time. */
const MAX_WHOLE_BYTES = 8 * 1024 * 1024;
/** A page ends when its lines have so many bytes. */
const PAGE_BYTES = 8 * 1024 * 1024;
/** An error is told from a line of up to this length, without its body being asked for. */
const ERROR_BYTES = 256 * 1024;
/** Shards that one page looks at: with a filter few lines of each may count. */
const SHARDS_PER_PAGE = 64;

/** A shard of which lines are known. */
interface KnownShard {
  firstLine: number;
  lastLine: number;
  /** In the order of the input. */
  load(): Promise<KnownLine[]>;
}

interface Source {
  shards: KnownShard[];
  customIds: { key: string; requests: number };
}

/** Results in a bucket: in pieces and shard results while the batch runs, then in its files. */
export function createResultStore({
  store,
  pieces,
  files,
}: {
  store: ObjectStore;
  pieces: Pick<PieceStore, 'getPlanHead' | 'getShardResult' | 'listPieceEntries'>;
  files: Pick<FileStore, 'get'>;
}): ResultStore {
  async function sourceOf({ tenant, batch }: BatchRecord): Promise<Source | 'gone' | null> {
    if (!isTerminal(batch.status)) return await runningSource(batch.id);
    return await endedSource(tenant, { output: batch.output_file_id, error: batch.error_file_id });
  }

  async function runningSource(batchId: string): Promise<Source | null> {
    const head = await pieces.getPlanHead(batchId);
    if (head?.verdict !== 'accepted') return null;
    const [closed, open] = [new Set<number | null>(), new Set<number | null>()];
    const prefix = keys.shardResults(batchId);
    for await (const { key } of store.list(prefix)) closed.add(shardNumber(key.slice(prefix.length)));
    for await (const folder of store.listFolders(keys.work(batchId))) open.add(shardNumber(folder.slice(0, -1)));
    const shards = head.shards
      .filter(({ shard }) => closed.has(shard) || open.has(shard))
      .map(({ shard, firstLine, lastLine }) => ({ firstLine, lastLine, load: async () => await loadRunning(batchId, shard) }));
    return { shards, customIds: { key: keys.customIds(batchId), requests: head.total } };
  }

  /** Once a shard is closed, its result stands, whatever its pieces hold. */
  async function loadRunning(batchId: string, shard: number): Promise<KnownLine[]> {
    const result = await pieces.getShardResult(batchId, shard);
    if (result !== null) {
      const at = (object: { key: string } | null) => ({ key: object?.key ?? '', offset: 0 });
      return locateLines(result.lines, { output: at(result.output), error: at(result.error) });
    }
    const decided = new Map<number, PieceEntry>();
    for await (const entries of pieces.listPieceEntries(batchId, shard)) for (const entry of entries) takeOutcome(decided, entry);
    return [...decided.values()].sort((a, b) => a.line - b.line);
  }

  async function endedSource(tenant: string, ids: { output: string | null; error: string | null }): Promise<Source | 'gone' | null> {
    const fileId = indexOwner(ids);
    if (fileId === null) return null;
    const [output, error] = await Promise.all([contentKey(tenant, ids.output), contentKey(tenant, ids.error)]);
    const head = output === null && error === null ? null : await readIndexHead(store, tenant, fileId);
    if (head === null) return 'gone';
    const shards = head.shards.map((shard) => ({
      ...shard,
      load: async () => {
        const lines = await readIndexedLines(store, { tenant, fileId }, shard);
        const places = { output: { key: output ?? '', offset: shard.output }, error: { key: error ?? '', offset: shard.error } };
        // What is in a file that was deleted alone is not shown.
        return locateLines(lines, places).filter(({ key }) => key !== '');
      },
    }));
    return { shards, customIds: { key: keys.resultIndex(tenant, fileId, 'custom-ids'), requests: head.requests } };
  }

  async function contentKey(tenant: string, id: string | null): Promise<string | null> {
    return id === null || (await files.get(tenant, id)) === null ? null : keys.content(tenant, id);
  }

  /** The known lines after the cursor, as many as fit on a page. */
  async function walk({ shards }: Source, { after, limit, outcomes, withBody, signal }: ResultQuery): Promise<Walked> {
    const walked: Walked = { lines: [], hasMore: false, last: after };
    let [bytes, looked] = [0, 0];
    for (const shard of shards) {
      if (shard.lastLine <= after) continue;
      signal?.throwIfAborted();
      if (looked++ === SHARDS_PER_PAGE) return { ...walked, hasMore: true };
      for (const known of await shard.load()) {
        if (known.line <= after || outcomes?.has(known.outcome) === false) continue;
        bytes += bytesToRead(known, withBody);
        const isFull = walked.lines.length === limit || (bytes > PAGE_BYTES && walked.lines.length > 0);
        if (isFull) return { ...walked, hasMore: true };
        walked.lines.push(known);
        walked.last = known.line;
      }
      // While the batch runs, lines of the shard may become known later: the cursor stays at the last known one unless the page goes on.
      if (looked === SHARDS_PER_PAGE) walked.last = shard.lastLine;
    }
    return walked;
  }

  async function find({ shards, customIds }: Source, query: ResultQuery & { customId: string }): Promise<KnownResult[]> {
    const wanted = customIdHash(query.customId, (bytes) => hash('sha256', bytes, 'buffer'));
    for (const line of await linesWithHash(store, customIds.key, wanted, customIds.requests)) {
      const shard = shards.find(({ firstLine, lastLine }) => line >= firstLine && line <= lastLine);
      const known = (await shard?.load())?.find((each) => each.line === line);
      if (known === undefined) continue;
      const [result] = await read([known], query.withBody);
      if (result?.head.customId === query.customId) return [result];
    }
    return [];
  }

  async function read(lines: readonly KnownLine[], withBody: boolean): Promise<KnownResult[]> {
    const places = lines.map((known) => ({ key: known.key, offset: known.offset, length: bytesToRead(known, withBody) }));
    const results: KnownResult[] = [];
    for await (const some of readLines(store, places)) {
      for (const bytes of some) {
        const known = lines[results.length];
        if (known === undefined) continue;
        const head = readResultLineHead(bytes);
        results.push({ ...known, head, value: bytes.length === known.length ? Buffer.from(resultLineValue(bytes, head)) : null });
      }
    }
    return results;
  }

  return {
    async page(record, query) {
      const source = await sourceOf(record);
      if (source === 'gone') return 'gone';
      if (source === null) return { data: [], hasMore: false, last: query.after };
      const { customId, outcomes, after } = query;
      if (customId !== null) {
        const found = await find(source, { ...query, customId });
        const data = found.filter(({ line, outcome }) => line > after && outcomes?.has(outcome) !== false);
        return { data, hasMore: false, last: data[0]?.line ?? after };
      }
      const { lines, ...rest } = await walk(source, query);
      return { ...rest, data: await read(lines, query.withBody) };
    },
  };
}

interface Walked {
  lines: KnownLine[];
  hasMore: boolean;
  last: number;
}

function bytesToRead({ outcome, length }: KnownLine, withBody: boolean): number {
  const whole = withBody ? MAX_WHOLE_BYTES : outcome === 'completed' ? RESULT_HEAD_BYTES : ERROR_BYTES;
  return length <= whole ? length : RESULT_HEAD_BYTES;
}

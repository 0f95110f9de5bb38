import { existsSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import type { ListedObject } from '../object-store.ts';
import type { Extent } from './extents.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { assertVersion } from './schema.ts';
import { openDatabase, whenFree } from './sqlite.ts';

/** A read waits for nothing, so a loop of them would let nothing else run; so many took 3 ms. */
const READS_PER_TURN = 64;

/** What there is of an object; `body` is null where its bytes are in files. */
export interface FoundObject {
  size: number;
  etag: string;
  body: Buffer | null;
  extents: Extent[];
}

/** Reads the tables. Each call is one statement, so it sees one state of the store, and takes no longer than a page of a list. */
export interface Reads {
  object(key: string): Promise<FoundObject | null>;
  stat(key: string): Promise<{ size: number; etag: string } | null>;
  /** At most `limit` objects with a key from `from` on (`after`: beyond it) and before `end`, which is null for no end. */
  page(range: KeyRange, limit: number): Promise<ListedObject[]>;
  parts(key: string, uploadId: string): Promise<{ part: number; etag: string; size: number }[] | null>;
  uploads(key: string): Promise<{ uploadId: string; since: Date }[]>;
  /** Of these files, those that no content names. */
  unnamed(files: readonly string[]): Promise<string[]>;
  /** Throws unless the tables can be read. */
  check(): Promise<void>;
  close(): void;
}

export interface KeyRange {
  from: string;
  after: boolean;
  end: string | null;
}

/** `path` is that of the database, which is opened by the first call, and must exist by then. */
export function createReads(path: string): Reads {
  let done = 0;
  let isClosed = false;
  let opened: { database: DatabaseSync; sql: ReturnType<typeof prepare> } | null = null;

  function open() {
    if (opened !== null) return opened;
    // A call may have begun before the store was closed, and nothing would close what it opens now.
    if (isClosed) throw new Error('the store is closed');
    if (!existsSync(path)) throw new Error('the store does not exist');
    const database = openDatabase(path);
    try {
      assertVersion(database);
      opened = { database, sql: prepare(database) };
      return opened;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  async function read<T>(call: (sql: ReturnType<typeof prepare>) => T): Promise<T> {
    done += 1;
    if (done % READS_PER_TURN === 0) await nextTurn();
    return await whenFree(() => call(open().sql));
  }

  return {
    object: async (key) =>
      await read((sql) => {
        const rows = sql.object.all(key);
        const [first] = rows;
        if (first === undefined) return null;
        const { body } = first;
        return {
          size: Number(first['size']),
          etag: String(first['etag']),
          body: body instanceof Uint8Array ? Buffer.from(body.buffer, body.byteOffset, body.byteLength) : null,
          extents: rows.flatMap(({ file, start, bytes }) =>
            typeof file === 'string' ? [{ file, start: Number(start), bytes: Number(bytes) }] : [],
          ),
        };
      }),

    stat: async (key) =>
      await read((sql) => {
        const row = sql.stat.get(key);
        return row === undefined ? null : { size: Number(row['size']), etag: String(row['etag']) };
      }),

    page: async ({ from, after, end }, limit) =>
      await read((sql) => {
        const rows = (after ? sql.pageAfter : sql.pageFrom).all(from, end, end, limit);
        return rows.map((row) => ({
          key: String(row['key']),
          size: Number(row['size']),
          lastModified: new Date(Number(row['modified_ms'])),
        }));
      }),

    parts: async (key, uploadId) =>
      await read((sql) => {
        const rows = sql.parts.all(uploadId, key);
        if (rows.length === 0) return null;
        return rows.flatMap(({ part, etag, size }) =>
          part === null ? [] : [{ part: Number(part), etag: String(etag), size: Number(size) }],
        );
      }),

    uploads: async (key) =>
      await read((sql) => sql.uploads.all(key).map((row) => ({ uploadId: String(row['id']), since: new Date(Number(row['since_ms'])) }))),

    unnamed: async (files) => await read((sql) => files.filter((file) => sql.named.get(file) === undefined)),

    async check() {
      if (!existsSync(path)) throw new Error('the store does not exist');
      await read((sql) => sql.stat.get(''));
    },

    close() {
      isClosed = true;
      opened?.database.close();
      opened = null;
    },
  };
}

function prepare(database: DatabaseSync) {
  const of = (statement: string) => database.prepare(statement);
  const page = (comparison: string) =>
    of(`SELECT key, size, modified_ms FROM objects WHERE key ${comparison} ? AND (? IS NULL OR key < ?) ORDER BY key LIMIT ?`);
  return {
    object: of(`
      SELECT o.size, o.etag, c.body, e.file, e.start, e.bytes
      FROM objects o JOIN contents c ON c.id = o.content LEFT JOIN extents e ON e.content = o.content
      WHERE o.key = ? ORDER BY e.position`),
    stat: of('SELECT size, etag FROM objects WHERE key = ?'),
    pageFrom: page('>='),
    pageAfter: page('>'),
    parts: of(`
      SELECT p.part, p.etag, p.size FROM uploads u LEFT JOIN parts p ON p.upload = u.id WHERE u.id = ? AND u.key = ? ORDER BY p.part`),
    uploads: of('SELECT id, since_ms FROM uploads WHERE key = ? ORDER BY since_ms'),
    named: of('SELECT 1 FROM extents WHERE file = ? LIMIT 1'),
  };
}

/** The first string after all those that begin with `prefix`, in byte order; null if there is none. */
export function endOf(prefix: string): string | null {
  const points = [...prefix].map((character) => character.codePointAt(0) ?? 0);
  for (let point = points.pop(); point !== undefined; point = points.pop()) {
    if (point === 0x10ffff) continue;
    // Between these two are the surrogates, which no text has by themselves.
    return String.fromCodePoint(...points, point === 0xd7ff ? 0xe000 : point + 1);
  }
  return null;
}

import { createHash } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { ByteRange } from '../object-store.ts';
import { cutExtents, type Extent } from './extents.ts';

/** S3 takes no smaller part, except as the last one. */
const MIN_PART_BYTES = 5 * 1024 * 1024;

/** New bytes: in the database, or in a content file that is on the disk already. */
export type NewContent = { body: Uint8Array } | { file: string };

/** What a writer changes in one step. `condition` is null, `absent`, or the tag that the object must have. */
export type Write =
  | {
      op: 'put';
      key: string;
      etag: string;
      size: number;
      content: NewContent;
      condition: null | 'absent' | { etag: string };
      nowMs: number;
    }
  | { op: 'remove'; keys: readonly string[] }
  | { op: 'startUpload'; key: string; uploadId: string; nowMs: number }
  | { op: 'putPart'; key: string; uploadId: string; part: number; etag: string; size: number; file: string }
  | { op: 'copyPart'; key: string; uploadId: string; part: number; source: string; range: ByteRange | null }
  | { op: 'complete'; key: string; uploadId: string; parts: readonly { part: number; etag: string }[]; nowMs: number }
  | { op: 'abort'; key: string; uploadId: string }
  | { op: 'removeOrphans'; files: readonly string[] };

/** The write cannot be done; `code` is S3's name for the reason, or one of `NoSuchFile` and `NoExtents`, where another try helps. */
class WriteRefused extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(`${message} (${code})`);
    this.code = code;
  }
}

/** Changes the tables. Everything runs inside a transaction of the caller. */
export interface Writes {
  /** Does one write. Answers `done`, `refused` where a condition does not hold, or the tag of a part. Throws `WriteRefused`. */
  apply(write: Write): string;
  /** Files of removed contents since the last call that no content names now. They may go once the transaction has been committed. */
  takeFreed(): string[];
}

/** `folder` has the content files. */
export function createWrites(database: DatabaseSync, folder: string): Writes {
  const sql = prepare(database);
  let freed: string[] = [];

  function newContent(body: Uint8Array | null): number {
    return Number(sql.addContent.run(body).lastInsertRowid);
  }

  function dropContent(content: number): void {
    const files = new Set(sql.filesOf.all(content).map((row) => String(row['file'])));
    sql.dropExtents.run(content);
    sql.dropContent.run(content);
    freed.push(...files);
  }

  function isNamed(file: string): boolean {
    return sql.named.get(file) !== undefined;
  }

  function addFile(file: string, size: number): number {
    // An orphan is removed under the same lock, so it is either here or will not be.
    if (!existsSync(join(folder, file))) throw new WriteRefused('NoSuchFile', `the content file ${file} is gone`);
    const content = newContent(null);
    sql.addExtent.run(content, 0, file, 0, size);
    return content;
  }

  function setObject(key: string, etag: string, size: number, content: number, nowMs: number): void {
    const past = sql.object.get(key);
    sql.setObject.run(key, size, etag, nowMs, content);
    if (past !== undefined) dropContent(Number(past['content']));
  }

  function setPart(uploadId: string, part: number, etag: string, size: number, content: number): void {
    const past = sql.part.get(uploadId, part);
    sql.setPart.run(uploadId, part, etag, size, content);
    if (past !== undefined) dropContent(Number(past['content']));
  }

  function assertUpload(key: string, uploadId: string): void {
    if (sql.upload.get(uploadId, key) === undefined) throw new WriteRefused('NoSuchUpload', 'the upload was completed or aborted');
  }

  function dropUpload(uploadId: string): void {
    for (const row of sql.partsOf.all(uploadId)) dropContent(Number(row['content']));
    sql.dropParts.run(uploadId);
    sql.dropUpload.run(uploadId);
  }

  function extentsOf(content: number): Extent[] {
    const rows = sql.extentsOf.all(content);
    return rows.map((row) => ({ file: String(row['file']), start: Number(row['start']), bytes: Number(row['bytes']) }));
  }

  function put({ key, etag, size, content, condition, nowMs }: Extract<Write, { op: 'put' }>): string {
    if (condition !== null) {
      const found = sql.object.get(key);
      const holds = condition === 'absent' ? found === undefined : found?.['etag'] === condition.etag;
      if (!holds) return 'refused';
    }
    setObject(key, etag, size, 'body' in content ? newContent(content.body) : addFile(content.file, size), nowMs);
    return 'done';
  }

  function copyPart({ key, uploadId, part, source, range }: Extract<Write, { op: 'copyPart' }>): string {
    assertUpload(key, uploadId);
    const found = sql.object.get(source);
    if (found === undefined) throw new WriteRefused('NoSuchKey', `there is no object ${source}`);
    const size = Number(found['size']);
    if (range !== null && range.end >= size) throw new WriteRefused('InvalidRange', `${source} has only ${size} bytes`);
    const whole = extentsOf(Number(found['content']));
    if (whole.length === 0) throw new WriteRefused('NoExtents', `${source} lies in the database`);
    const extents = range === null ? whole : cutExtents(whole, range);
    // Two who copy the same bytes get the same tag, as they would from a hash of the bytes.
    const etag = range === null ? String(found['etag']) : hash(`${String(found['etag'])} ${range.start}-${range.end}`);
    const content = newContent(null);
    extents.forEach(({ file, start, bytes }, position) => sql.addExtent.run(content, position, file, start, bytes));
    setPart(uploadId, part, etag, range === null ? size : range.end + 1 - range.start, content);
    return etag;
  }

  function complete({ key, uploadId, parts, nowMs }: Extract<Write, { op: 'complete' }>): string {
    assertUpload(key, uploadId);
    const found = parts.map(({ part, etag }, index) => {
      const row = sql.part.get(uploadId, part);
      if (row === undefined || row['etag'] !== etag) throw new WriteRefused('InvalidPart', `part ${part} is not there, or has another tag`);
      if (part <= (parts[index - 1]?.part ?? 0)) throw new WriteRefused('InvalidPartOrder', 'the parts are not in order');
      const size = Number(row['size']);
      if (size < MIN_PART_BYTES && index < parts.length - 1) throw new WriteRefused('EntityTooSmall', `part ${part} has ${size} bytes`);
      return { etag, size, content: Number(row['content']) };
    });
    if (found.length === 0) throw new WriteRefused('MalformedXML', 'an upload needs at least one part');
    const content = newContent(null);
    let position = 0;
    for (const part of found) {
      for (const { file, start, bytes } of extentsOf(part.content)) sql.addExtent.run(content, position++, file, start, bytes);
    }
    const etag = `${hash(found.map((part) => part.etag).join(' '))}-${found.length}`;
    const size = found.reduce((sum, part) => sum + part.size, 0);
    setObject(key, etag, size, content, nowMs);
    dropUpload(uploadId);
    return 'done';
  }

  return {
    apply(write) {
      switch (write.op) {
        case 'put':
          return put(write);
        case 'remove':
          for (const key of write.keys) {
            const found = sql.object.get(key);
            if (found === undefined) continue;
            sql.dropObject.run(key);
            dropContent(Number(found['content']));
          }
          return 'done';
        case 'startUpload':
          sql.addUpload.run(write.uploadId, write.key, write.nowMs);
          return 'done';
        case 'putPart':
          assertUpload(write.key, write.uploadId);
          setPart(write.uploadId, write.part, write.etag, write.size, addFile(write.file, write.size));
          return write.etag;
        case 'copyPart':
          return copyPart(write);
        case 'complete':
          return complete(write);
        case 'abort':
          if (sql.upload.get(write.uploadId, write.key) !== undefined) dropUpload(write.uploadId);
          return 'done';
        case 'removeOrphans':
          // Here and not after the commit: nobody can name the file while this transaction has the lock.
          // The sweep of another process may have removed it meanwhile.
          for (const file of write.files) if (!isNamed(file)) rmSync(join(folder, file), { force: true });
          return 'done';
      }
    },
    takeFreed() {
      const files = freed.filter((file) => !isNamed(file));
      freed = [];
      return files;
    },
  };
}

function prepare(database: DatabaseSync) {
  const of = (statement: string) => database.prepare(statement);
  return {
    object: of('SELECT etag, size, content FROM objects WHERE key = ?'),
    setObject: of('INSERT OR REPLACE INTO objects (key, size, etag, modified_ms, content) VALUES (?, ?, ?, ?, ?)'),
    dropObject: of('DELETE FROM objects WHERE key = ?'),
    addContent: of('INSERT INTO contents (body) VALUES (?)'),
    dropContent: of('DELETE FROM contents WHERE id = ?'),
    addExtent: of('INSERT INTO extents (content, position, file, start, bytes) VALUES (?, ?, ?, ?, ?)'),
    extentsOf: of('SELECT file, start, bytes FROM extents WHERE content = ? ORDER BY position'),
    filesOf: of('SELECT DISTINCT file FROM extents WHERE content = ?'),
    dropExtents: of('DELETE FROM extents WHERE content = ?'),
    named: of('SELECT 1 FROM extents WHERE file = ? LIMIT 1'),
    upload: of('SELECT 1 FROM uploads WHERE id = ? AND key = ?'),
    addUpload: of('INSERT INTO uploads (id, key, since_ms) VALUES (?, ?, ?)'),
    dropUpload: of('DELETE FROM uploads WHERE id = ?'),
    part: of('SELECT etag, size, content FROM parts WHERE upload = ? AND part = ?'),
    partsOf: of('SELECT content FROM parts WHERE upload = ?'),
    setPart: of('INSERT OR REPLACE INTO parts (upload, part, etag, size, content) VALUES (?, ?, ?, ?, ?)'),
    dropParts: of('DELETE FROM parts WHERE upload = ?'),
  };
}

function hash(text: string): string {
  return createHash('md5').update(text).digest('hex');
}

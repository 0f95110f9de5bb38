import type { DatabaseSync } from 'node:sqlite';

/** Goes into the file's `user_version`. A file with another number is refused. */
const VERSION = 1;

/**
 * `objects` has no bodies, so that lists read few pages. A content is either a body, or extents: stretches of files that follow each
 * other. Several contents may name one file, which is how parts are copied without their bytes.
 */
const TABLES = `
  CREATE TABLE objects (
    key TEXT PRIMARY KEY, size INTEGER NOT NULL, etag TEXT NOT NULL, modified_ms INTEGER NOT NULL, content INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE contents (id INTEGER PRIMARY KEY, body BLOB) STRICT;
  CREATE TABLE extents (
    content INTEGER NOT NULL, position INTEGER NOT NULL, file TEXT NOT NULL, start INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (content, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX extents_of_file ON extents (file);
  CREATE TABLE uploads (id TEXT PRIMARY KEY, key TEXT NOT NULL, since_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX uploads_of_key ON uploads (key);
  CREATE TABLE parts (
    upload TEXT NOT NULL, part INTEGER NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL, content INTEGER NOT NULL,
    PRIMARY KEY (upload, part)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${VERSION};
`;

/** Makes the tables where there are none. */
export function createTables(database: DatabaseSync): void {
  if (versionOf(database) !== 0) return assertVersion(database);
  // Readers never wait for a writer then. The mode stays in the file.
  database.exec('PRAGMA journal_mode = WAL');
  database.exec('BEGIN IMMEDIATE');
  try {
    if (versionOf(database) === 0) database.exec(TABLES);
    assertVersion(database);
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** Throws unless the tables are there, in the version of this program. */
export function assertVersion(database: DatabaseSync): void {
  const found = versionOf(database);
  if (found === 0) throw new Error('the store does not exist');
  if (found !== VERSION) throw new Error(`the store has version ${found}, and this Nightshift reads version ${VERSION}`);
}

function versionOf(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
}

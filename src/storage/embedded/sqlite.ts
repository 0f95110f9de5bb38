import type * as sqlite from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';

/** SQLite's primary result codes that the store tells apart. */
const BUSY = 5;
const FULL = 13;

/** Opens a database file, and creates it if it is missing. No call on it waits for other connections: it throws, see `isBusy`. */
export function openDatabase(path: string): sqlite.DatabaseSync {
  const database = new (loadSqlite().DatabaseSync)(path, { timeout: 0 });
  // FULL: a commit is on the disk before it returns. `fullfsync` asks the same of macOS, where a plain fsync stops in the drive's cache.
  database.exec('PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;');
  return database;
}

/** Whether another connection held a lock that the call needed. A later try works. */
export function isBusy(error: unknown): boolean {
  return primaryCode(error) === BUSY;
}

/** Another process holds all of the database only while it repairs it after a crash, or creates it. */
const FREE_WITHIN_MS = 10_000;
const LOOK_AGAIN_MS = 10;

/** Makes the call again, without blocking this thread, until no other connection is in its way. */
export async function whenFree<T>(call: () => T): Promise<T> {
  const deadline = performance.now() + FREE_WITHIN_MS;
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
      await delay(LOOK_AGAIN_MS);
    }
  }
}

/** Whether SQLite found no space on the disk. */
export function isDiskFull(error: unknown): boolean {
  return primaryCode(error) === FULL;
}

function primaryCode(error: unknown): number | null {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : null;
}

/** Node says once per process that the module is experimental. The sentence is about Node's API; it would be the first line of every start. */
function loadSqlite(): typeof sqlite {
  const warn = process.emitWarning;
  process.emitWarning = () => undefined;
  try {
    return process.getBuiltinModule('node:sqlite');
  } finally {
    process.emitWarning = warn;
  }
}

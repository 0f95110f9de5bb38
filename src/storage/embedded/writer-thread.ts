import { unlink } from 'node:fs';
import { join } from 'node:path';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { isBusy, openDatabase } from './sqlite.ts';
import { assertVersion } from './schema.ts';
import { createWrites, type Write } from './writes.ts';

/**
 * The thread that writes: a commit waits for the disk, which took 90 ms at worst on an idle machine, and for the lock of other
 * processes. What has arrived while it waited goes into the next commit together.
 */

export interface WriterOptions {
  /** Of the database. */
  path: string;
  /** Of the content files. */
  folder: string;
  /** Longest wait for the lock. Another process has it for milliseconds, unless it stands still or the disk hangs. */
  lockMs: number;
}

/** A write with a number that its answer has too; `close` ends the thread. */
export type Request = { id: number; write: Write } | 'close';
export type Answer = { id: number; answer: string } | { id: number; failure: Failure };
/** An error, without what cannot be sent. */
export interface Failure {
  message: string;
  code: string | null;
  errcode: number | null;
}

const MOST_PER_COMMIT = 256;
/** 16 MiB: each time the log reaches it, its pages are written to the database and both are synced. */
const CHECKPOINT_PAGES = 4000;
const MAX_IDLE_LOG_BYTES = 64 * 1024 * 1024;

const { path, folder, lockMs }: WriterOptions = workerData;
const port = parentPort;
if (port === null) throw new Error('this is the program of a thread');

const database = openDatabase(path);
assertVersion(database);
database.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}; PRAGMA journal_size_limit = ${MAX_IDLE_LOG_BYTES};`);
const writes = createWrites(database, folder);

port.on('message', (first: Request) => {
  const requests = [first];
  while (requests.length < MOST_PER_COMMIT) {
    const next: { message: Request } | undefined = receiveMessageOnPort(port);
    if (next === undefined) break;
    requests.push(next.message);
  }
  const wanted = requests.filter((request) => request !== 'close');
  if (wanted.length > 0) for (const answer of commit(wanted)) port.postMessage(answer);
  if (wanted.length === requests.length) return;
  database.close();
  port.close();
});

function commit(requests: readonly { id: number; write: Write }[]): Answer[] {
  try {
    begin();
    const answers = requests.map(({ id, write }) => applyOne(id, write));
    const freed = writes.takeFreed();
    database.exec('COMMIT');
    for (const file of freed) unlink(join(folder, file), () => undefined);
    return answers;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    // The contents are back, and so are the names.
    writes.takeFreed();
    return requests.map(({ id }) => ({ id, failure: toFailure(error) }));
  }
}

/** Each write stands for itself: one that is refused leaves the others of its commit alone. */
function applyOne(id: number, write: Write): Answer {
  database.exec('SAVEPOINT one');
  try {
    const answer = writes.apply(write);
    database.exec('RELEASE one');
    return { id, answer };
  } catch (error) {
    // A full disk may have ended the whole transaction.
    if (!database.isTransaction) throw error;
    database.exec('ROLLBACK TO one; RELEASE one');
    return { id, failure: toFailure(error) };
  }
}

/** SQLite's own waiting sleeps up to 100 ms at a time, so a process that writes all the time would starve the others. */
function begin(): void {
  const deadline = performance.now() + lockMs;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    try {
      return database.exec('BEGIN IMMEDIATE');
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
      Atomics.wait(pause, 0, 0, 0.2 + Math.random());
    }
  }
}

function toFailure(error: unknown): Failure {
  if (!(error instanceof Error)) return { message: String(error), code: null, errcode: null };
  return {
    message: error.message,
    code: 'code' in error && typeof error.code === 'string' ? error.code : null,
    errcode: 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : null,
  };
}

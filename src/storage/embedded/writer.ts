import { Worker } from 'node:worker_threads';
import { SOURCE_EXTENSION } from '../../domain/source-extension.ts';
import type { Write } from './writes.ts';
import type { Answer, Failure, Request, WriterOptions } from './writer-thread.ts';

/** Sends writes to the thread that does them. */
export interface Writer {
  /** Resolves when the write is on the disk, with what `Writes.apply` answers; throws its error with `code` and `errcode`. */
  write(write: Write): Promise<string>;
  /** Ends the thread after the writes that were sent. Writes after it reject. */
  close(): void;
}

interface Waiting {
  resolve: (answer: string) => void;
  reject: (error: Error) => void;
}

/** The thread starts with the first write. It keeps the process alive only while a write waits. */
export function createWriter(options: WriterOptions): Writer {
  const waiting = new Map<number, Waiting>();
  let thread: Worker | null = null;
  let sent = 0;
  let isClosed = false;

  function start(): Worker {
    const started = new Worker(new URL(`./writer-thread${SOURCE_EXTENSION}`, import.meta.url), {
      workerData: options,
      execArgv: [],
    });
    started.unref();
    started.on('message', (message: Answer) => {
      const call = waiting.get(message.id);
      waiting.delete(message.id);
      if (waiting.size === 0) started.unref();
      if ('failure' in message) call?.reject(toError(message.failure));
      else call?.resolve(message.answer);
    });
    const end = (error: Error) => {
      if (thread !== started) return;
      thread = null;
      for (const call of waiting.values()) call.reject(error);
      waiting.clear();
    };
    started.on('error', (error) => end(error instanceof Error ? error : new Error(String(error))));
    started.on('exit', (code) => end(new Error(`the thread that writes ended with code ${code}`)));
    return started;
  }

  return {
    async write(write) {
      if (isClosed) throw new Error('the store is closed');
      const worker = (thread ??= start());
      if (waiting.size === 0) worker.ref();
      sent += 1;
      const request: Request = { id: sent, write };
      return await new Promise((resolve, reject) => {
        waiting.set(request.id, { resolve, reject });
        worker.postMessage(request, bodyOf(write));
      });
    },
    close() {
      isClosed = true;
      const request: Request = 'close';
      thread?.postMessage(request);
    },
  };
}

/** The bytes that change hands instead of being copied. */
function bodyOf(write: Write): ArrayBuffer[] {
  if (write.op !== 'put' || !('body' in write.content)) return [];
  const { buffer } = write.content.body;
  return buffer instanceof ArrayBuffer ? [buffer] : [];
}

function toError({ message, code, errcode }: Failure): Error {
  return Object.assign(new Error(message), { ...(code === null ? {} : { code }), ...(errcode === null ? {} : { errcode }) });
}

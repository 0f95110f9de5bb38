import { PassThrough } from 'node:stream';
import type { BatchRecord } from '../../domain/batch.ts';
import { batchOf } from '../batch-of.ts';
import type { WaitDeps } from '../batch-watch.ts';
import { clientGone, holdSlot, type Route } from '../context.ts';

/** Shorter than the time after which proxies close a connection on which nothing moves. */
const COMMENT_EVERY_MS = 15_000;

/**
 * `GET /v1/batches/{id}/events`: Server-Sent Events. An event `batch` with the Batch as its data comes at once and at every change, at most
 * one a second, and a comment every 15 s. The stream ends with the batch. A client that does not read gets only the latest state.
 */
export function batchEvents({ batches, watch, waits, draining }: WaitDeps): Route {
  return async (ctx) => {
    const record = await batchOf(ctx, batches);
    ctx.set('Content-Type', 'text/event-stream');
    ctx.set('Cache-Control', 'no-store');
    // nginx would keep the events until a buffer is full.
    ctx.set('X-Accel-Buffering', 'no');
    ctx.status = 200;
    if (ctx.method === 'HEAD') return;
    const gone = clientGone(ctx);
    await holdSlot(ctx, waits, gone);
    const stream = new PassThrough({ highWaterMark: 0 });
    ctx.body = stream;
    void send(stream, record, AbortSignal.any([gone, draining]));
  };

  async function send(stream: PassThrough, record: BatchRecord, signal: AbortSignal): Promise<void> {
    const comments = setInterval(() => {
      if (!stream.writableNeedDrain) stream.write(': still here\n\n');
    }, COMMENT_EVERY_MS);
    try {
      for await (const batch of watch.changes(record, signal)) {
        if (!stream.write(`event: batch\ndata: ${JSON.stringify(batch)}\n\n`)) await drained(stream, signal);
      }
      stream.end();
    } catch (error) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
    } finally {
      clearInterval(comments);
    }
  }
}

/** Resolves when the client has read what was written, or the signal ends. */
async function drained(stream: PassThrough, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => resolve();
  stream.once('drain', done);
  signal.addEventListener('abort', done, { once: true });
  await promise;
  stream.off('drain', done);
  signal.removeEventListener('abort', done);
}

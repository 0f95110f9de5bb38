import type { IncomingMessage } from 'node:http';

/** The client hung up before its request was whole: nobody is there to be answered. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';

  constructor() {
    super('the client went away before its request was whole');
  }
}

/** The body stands still, or comes more slowly than the slowest client that is served. */
export class BodyStalled extends Error {
  override readonly name = 'BodyStalled';

  constructor(bytes: number, waitedMs: number) {
    super(`${bytes} bytes of the request body came in the ${Math.round(waitedMs)} ms that were spent waiting for them`);
  }
}

/** The body is larger than `maxBytes`. */
export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';
  readonly maxBytes: number;

  constructor(maxBytes: number) {
    super(`the request body is larger than ${maxBytes} bytes`);
    this.maxBytes = maxBytes;
  }
}

/** How slow a client may be. Only time in which somebody waits for its bytes counts; while the reader is busy nobody does. */
export interface BodyPace {
  /** Longest wait for the next byte. */
  idleTimeoutMs: number;
  /** What a body must bring on average beyond the first idle timeout, so that a trickle cannot hold its buffers for ever. */
  minBytesPerSecond: number;
}

export interface BodyBounds extends BodyPace {
  maxBytes: number;
  /** Is told of the bytes of each chunk before it is handed on; a rejection ends the reading. */
  takeBytes?: ((bytes: number) => Promise<void>) | undefined;
  /** Ends the reading. */
  signal?: AbortSignal;
}

/**
 * The bytes of a request body as they come, at the reader's pace. Throws `BodyTooLarge` (before the first byte if the
 * client declares its length), `BodyStalled` or `ClientGone`; the request is left open, so that it can still be answered.
 */
export async function* readBody(
  request: IncomingMessage,
  { maxBytes, idleTimeoutMs, minBytesPerSecond, takeBytes, signal }: BodyBounds,
): AsyncGenerator<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw new BodyTooLarge(maxBytes);
  let bytes = 0;
  let waitedMs = 0;
  for (;;) {
    const chunk: Buffer | null = request.read();
    if (chunk !== null) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw new BodyTooLarge(maxBytes);
      await takeBytes?.(chunk.length);
      yield chunk;
    } else if (request.readableEnded) {
      return;
    } else {
      const leftMs = idleTimeoutMs + (bytes / minBytesPerSecond) * 1000 - waitedMs;
      const startedMs = performance.now();
      const isLate = (await nextEvent(request, Math.max(0, Math.min(idleTimeoutMs, leftMs)), signal)) === 'late';
      waitedMs += performance.now() - startedMs;
      if (isLate) throw new BodyStalled(bytes, waitedMs);
    }
  }
}

/** Reads a whole body; for small ones. Throws as `readBody` does. */
export async function readWholeBody(request: IncomingMessage, bounds: BodyBounds): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of readBody(request, bounds)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/**
 * Throws away what is left of a body, so that a client that is still sending gets to read its answer; a connection that
 * has not delivered the rest after `withinMs` is closed.
 */
export function drainBody(request: IncomingMessage, withinMs: number): void {
  if (request.complete || request.destroyed) return;
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), withinMs);
  const settle = () => {
    clearTimeout(timer);
    socket.removeListener('close', settle);
  };
  // Once a request is answered it no longer hears that its connection ended, so the socket is listened to as well.
  socket.once('close', settle);
  request.once('close', settle);
  request.on('error', () => {});
  request.resume();
}

/** Waits until something can be read, or the body has ended. */
function nextEvent(request: IncomingMessage, withinMs: number, signal: AbortSignal | undefined): Promise<'moved' | 'late'> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    if (request.destroyed) throw new ClientGone();
    const settle = (end: () => void) => {
      clearTimeout(timer);
      for (const event of ['readable', 'end']) request.removeListener(event, onBytes);
      for (const event of ['error', 'close']) request.removeListener(event, onGone);
      signal?.removeEventListener('abort', onAbort);
      end();
    };
    const onBytes = () => settle(() => resolve('moved'));
    const onGone = () => settle(() => (request.readableEnded ? resolve('moved') : reject(new ClientGone())));
    const onAbort = () => settle(() => reject(signal?.reason));
    const timer = setTimeout(() => settle(() => resolve('late')), withinMs);
    for (const event of ['readable', 'end']) request.once(event, onBytes);
    for (const event of ['error', 'close']) request.once(event, onGone);
    signal?.addEventListener('abort', onAbort);
  });
}

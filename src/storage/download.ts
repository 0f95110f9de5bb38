import { Readable } from 'node:stream';

/** What is read ahead of the reader: less, and the connection is stopped and started for every chunk. */
const AHEAD_BYTES = 512 * 1024;
/** Breaks in a row after which a transfer that brings nothing new is given up. */
const MAX_FRUITLESS_BREAKS = 3;

/**
 * The body of `first` as a stream that outlives its connection: MinIO hangs up on whoever takes nothing for 30 s, and our
 * readers may be as slow as they like. After a break the rest of its `size` bytes is fetched once somebody wants it: `fetchFrom` is
 * given the number of bytes that have come. An error that `isTransient` refuses, or that `fetchFrom` throws, errors the stream through `toError`.
 */
export function createDownload(
  first: Readable,
  given: {
    size: number;
    fetchFrom: (bytes: number) => Promise<Readable>;
    isTransient: (error: unknown) => boolean;
    toError: (error: unknown) => Error;
  },
): Readable {
  const { size } = given;
  let response = first;
  let received = 0;
  let fruitlessBreaks = 0;
  let isWanted = false;
  let isBroken = false;

  const body = new Readable({
    highWaterMark: AHEAD_BYTES,
    read() {
      isWanted = true;
      if (isBroken) void takeUp();
      else response.resume();
    },
    destroy(error, done) {
      response.destroy();
      done(error);
    },
  });

  function follow(next: Readable): void {
    response = next;
    next.on('data', (chunk: Buffer) => {
      received += chunk.length;
      fruitlessBreaks = 0;
      isWanted = body.push(chunk);
      if (!isWanted) next.pause();
    });
    next.on('end', () => body.push(null));
    next.on('error', (error) => {
      if (body.destroyed) return;
      if (received === size) return void body.push(null);
      fruitlessBreaks += 1;
      if (fruitlessBreaks > MAX_FRUITLESS_BREAKS || !given.isTransient(error)) return void body.destroy(given.toError(error));
      isBroken = true;
      if (isWanted) void takeUp();
    });
    if (!isWanted) next.pause();
  }

  async function takeUp(): Promise<void> {
    isBroken = false;
    try {
      const next = await given.fetchFrom(received);
      if (body.destroyed) next.destroy();
      else follow(next);
    } catch (error) {
      body.destroy(given.toError(error));
    }
  }

  follow(first);
  return body;
}

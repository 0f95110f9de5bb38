import { createWaitingLine } from '../async/waiting-line.ts';

/** Bytes of a part of a multipart upload; S3 wants 5 MiB at least and 10,000 parts at most, so objects may have 80 GB. */
export const PART_BYTES = 8 * 1024 * 1024;

/** How many stall times one buffer may take to fill while others wait: with 30 s, a client that sends less than 28 KB/s. */
const FILL_STALLS = 10;

/**
 * The part buffers that all uploads of a process share, so that their memory is bounded however many clients come.
 *
 * Why nobody waits for ever: a buffer is either *being filled*, then its holder waits for its client only, or *sealed*, full
 * or last and on its way to the bucket, whose calls all have timeouts. Who waits for a buffer holds none that is being
 * filled, so there is no circle; buffers go to those who wait in the order in which they came, and an upload queues anew for
 * each part, so a fast one cannot keep the others out. That leaves clients that stop in the middle of a part: S3 takes no
 * part below 5 MiB, so a half-filled buffer cannot be put away. While others wait, the holder of a buffer that nothing came
 * into for the stall time loses its upload, and so does one that has been filling the same buffer for ten times as long: a
 * trickle gets no buffer for ever, though it gets one for long where nobody waits.
 */
export interface PartPool {
  /** Waits for a buffer; rejects with the signal's reason when that comes first. `onStall` must make the holder give it back. */
  take(signal: AbortSignal, onStall: () => void): Promise<Part>;
  /** Buffers that uploads hold now. */
  readonly taken: number;
}

/** A buffer on loan. */
export interface Part {
  readonly buffer: Buffer;
  /** Says that something came in. */
  touch(): void;
  /** Says that the holder waits for its client no more. */
  seal(): void;
  giveBack(): void;
}

/** A pool of `size` buffers of 8 MiB each, made when first needed. `stallMs` is how long a part may stand still while others wait. */
export function createPartPool(size: number, stallMs = 30_000): PartPool {
  const free: Buffer[] = [];
  const line = createWaitingLine();
  const filling = new Map<Part, { lentMs: number; touchedMs: number; onStall: () => void }>();
  let taken = 0;
  let timer: NodeJS.Timeout | undefined;

  function lend(buffer: Buffer, onStall: () => void): Part {
    let isOut = true;
    const part: Part = {
      buffer,
      touch() {
        const held = filling.get(part);
        if (held !== undefined) held.touchedMs = performance.now();
      },
      seal() {
        filling.delete(part);
      },
      giveBack() {
        if (!isOut) return;
        isOut = false;
        filling.delete(part);
        taken -= 1;
        free.push(buffer);
        line.admit();
        watchStalls();
      },
    };
    filling.set(part, { lentMs: performance.now(), touchedMs: performance.now(), onStall });
    return part;
  }

  /** Runs a timer while somebody waits, and only then. */
  function watchStalls(): void {
    if (line.length === 0) {
      clearTimeout(timer);
      timer = undefined;
      return;
    }
    timer ??= setTimeout(() => {
      timer = undefined;
      const now = performance.now();
      const stalled = [...filling.values()].filter(
        ({ lentMs, touchedMs }) => now - touchedMs >= stallMs || now - lentMs >= stallMs * FILL_STALLS,
      );
      for (const held of stalled.sort((a, b) => a.touchedMs - b.touchedMs).slice(0, line.length)) held.onStall();
      watchStalls();
    }, stallMs / 4);
  }

  return {
    get taken() {
      return taken;
    },
    async take(signal, onStall) {
      const entering = line.enter(signal, () => {
        if (taken >= size) return null;
        taken += 1;
        return lend(free.pop() ?? Buffer.allocUnsafeSlow(PART_BYTES), onStall);
      });
      watchStalls();
      return await entering.finally(watchStalls);
    },
  };
}

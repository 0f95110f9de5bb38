import type { ServerResponse } from 'node:http';

/** How slow a client may be to read its answer. Only time in which the answer waits for the client counts. */
export interface ReadPace {
  /** Longest time in which it takes nothing; more than the minute for which a client may stall (case 105 of the contract). */
  idleTimeoutMs: number;
  /** What it must take on average beyond the first idle timeout, so that a trickle cannot hold an answer for ever. */
  minBytesPerSecond: number;
}

export const READ_PACE: ReadPace = { idleTimeoutMs: 120_000, minBytesPerSecond: 1024 };

/** Answers that are being sent, watched for clients that do not read them. */
export interface SlowReaders {
  watch(response: ServerResponse): void;
  close(): void;
}

interface Watched {
  taken: number;
  /** Bytes of the connection when this answer began. */
  before: number;
  /** Since the client last took something while the answer waited for it. */
  idleMs: number;
  waitedMs: number;
}

const LOOK_EVERY_MS = 1_000;

/** Ends the connection of a client that is slower than the pace allows. Looks once a second at all answers that have not ended. */
export function watchSlowReaders({ idleTimeoutMs, minBytesPerSecond }: ReadPace): SlowReaders {
  const open = new Map<ServerResponse, Watched>();
  let lookedMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const elapsedMs = nowMs - lookedMs;
    lookedMs = nowMs;
    for (const [response, watched] of open) if (isTooSlow(response, watched, elapsedMs)) response.destroy();
  }, LOOK_EVERY_MS).unref();

  function isTooSlow(response: ServerResponse, watched: Watched, elapsedMs: number): boolean {
    const { socket } = response;
    if (socket === null || response.writableLength === 0) return false;
    const taken = socket.bytesWritten - socket.writableLength - watched.before;
    watched.idleMs = taken > watched.taken ? 0 : watched.idleMs + elapsedMs;
    watched.taken = taken;
    watched.waitedMs += elapsedMs;
    return watched.idleMs > idleTimeoutMs || watched.waitedMs > idleTimeoutMs + (taken / minBytesPerSecond) * 1000;
  }

  return {
    watch(response) {
      open.set(response, { taken: 0, before: response.socket?.bytesWritten ?? 0, idleMs: 0, waitedMs: 0 });
      response.once('close', () => open.delete(response));
    },
    close: () => clearInterval(timer),
  };
}

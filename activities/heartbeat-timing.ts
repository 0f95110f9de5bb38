/** How often a worker beats, for a given heartbeat timeout. All times are milliseconds. */
export interface HeartbeatTiming {
  /** Short slices, which are most, never beat at all: each heartbeat is a transaction of the server. */
  firstMs: number;
  everyMs: number;
  /** A process that stood still for this long may have a successor for everything it does. */
  pausedMs: number;
}

/** The timeout of batches that began before their policy had one. */
const DEFAULT_TIMEOUT_MS = 30_000;

/**
 * Several heartbeats fit into one timeout, so that a slow one costs nothing. Cancels arrive in the replies to heartbeats, so a
 * long timeout does not make heartbeats rare.
 */
export function heartbeatTiming(timeoutMs: number = DEFAULT_TIMEOUT_MS): HeartbeatTiming {
  return {
    firstMs: Math.min(8_000, timeoutMs * (8 / 30)),
    everyMs: Math.min(5_000, timeoutMs / 6),
    pausedMs: timeoutMs * (2 / 3),
  };
}

/** What the worker must give Temporal as `maxHeartbeatThrottleInterval`: heartbeats are sent at least this often. */
export function heartbeatThrottleMs(timeoutMs: number): number {
  return Math.min(10_000, timeoutMs / 3);
}

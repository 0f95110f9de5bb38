import type { UpstreamOptions } from '../../src/upstream/create-upstreams.ts';

/** An upstream with a fixed limit and nothing else configured. */
export const PLAIN_UPSTREAM: Omit<UpstreamOptions, 'baseUrls'> = {
  name: 'example',
  aliases: {},
  add: {},
  maxInFlight: 8,
  limiter: 'fixed',
  requestsPerMinute: null,
  tokensPerMinute: null,
  requestTimeoutMs: 5_000,
  maxResponseBytes: 1_000_000,
  maxFaults: 5,
  maxRefusals: null,
  unavailableMaxMs: null,
  oneModelAtATime: false,
  active: null,
  maxInFlightByHour: {},
};

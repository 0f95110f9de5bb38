import { setTimeout as delay } from 'node:timers/promises';
import type { AskSecrets } from '../client/ask-server.ts';
import { type ConcurrencyControl, createConcurrencyControl } from './concurrency-control.ts';
import { askServerQueue, followServerQueue } from './server-metrics.ts';
import { createLimitShare, EXCHANGE_MS, exchangeLimit, type LimitShare, type SharedLimit, type SharedLimitPort } from './shared-limit.ts';

/** What finds the number in flight at one server. */
export interface ServerControl {
  control: ConcurrencyControl;
  /** Hears what the server tells of its queue and what the other workers know, until the signal ends. Never rejects. */
  follow(load: ServerLoad, signal: AbortSignal): Promise<void>;
}

export interface ServerLoad {
  inFlight: () => number;
  /** Requests that would go to this server if there were places. */
  waiting: () => number;
  /** The limit may have changed. */
  onChange: () => void;
}

/** How workers share the limits of servers. */
export interface LimitSharing {
  /** Different for each worker process. */
  workerId: string;
  /** Where the limit of the server at this URL is kept. */
  portFor: (server: { upstream: string; baseUrl: string }) => SharedLimitPort;
}

export interface ServerControlOptions {
  /** Name of its upstream. */
  upstream: string;
  baseUrl: string;
  limiter: 'adaptive' | 'fixed';
  /** From all workers together if the limit is shared, else from this one. A fixed limit is never shared. */
  maxInFlight: number;
  requestTimeoutMs: number;
  secrets: AskSecrets;
  /** Null keeps the limit to this process. */
  sharing: LimitSharing | null;
  monotonicMs: () => number;
}

/** Nothing is asked and nothing is shared until `follow`. */
export function createServerControl(options: ServerControlOptions): ServerControl {
  const { upstream, baseUrl, limiter, maxInFlight, requestTimeoutMs, secrets, sharing, monotonicMs } = options;
  if (limiter === 'fixed') return { control: createFixedControl(maxInFlight), follow: async () => undefined };
  const limits = { maxInFlight, requestTimeoutMs, monotonicMs };
  let demand = () => 0;
  const shared =
    sharing === null
      ? null
      : createLimitShare({
          id: sharing.workerId,
          createControl: ({ from, ...given }) =>
            createConcurrencyControl({ ...limits, ...given, ...(from === null ? {} : { firstInFlight: from }) }),
          demand: () => demand(),
          monotonicMs,
        });
  const control = shared?.control ?? createConcurrencyControl(limits);
  return {
    control,
    async follow({ inFlight, waiting, onChange }, signal) {
      demand = () => inFlight() + waiting();
      await Promise.all([
        followServerQueue({
          ask: async () => await askServerQueue(baseUrl, secrets),
          tell(queue) {
            control.told(queue);
            onChange();
          },
          isBusy: () => inFlight() > 0,
          signal,
        }),
        sharing === null || shared === null
          ? null
          : exchangeUntil({ port: sharing.portFor({ upstream, baseUrl }), shared, isBusy: () => demand() > 0, onChange, signal }),
      ]);
    },
  };
}

/** Exchanges at the start and while there is something to do. Idle workers take no part, and leave when they end. */
async function exchangeUntil({
  port,
  shared,
  isBusy,
  onChange,
  signal,
}: {
  port: SharedLimitPort;
  shared: LimitShare;
  isBusy: () => boolean;
  onChange: () => void;
  signal: AbortSignal;
}): Promise<void> {
  let wasBusy = true;
  while (!signal.aborted) {
    // Once more when nothing is to be done, so that the others know.
    if (isBusy() || wasBusy) {
      wasBusy = isBusy();
      // The bucket is away: the part stays as it is.
      await exchangeLimit(port, shared).catch(() => undefined);
      onChange();
    }
    // Not in step with the others: of two that write at once only one does.
    await delay(EXCHANGE_MS * (0.9 + Math.random() / 5), undefined, { signal, ref: false }).catch(() => undefined);
  }
  await leave(port, shared).catch(() => undefined);
}

async function leave(port: SharedLimitPort, shared: LimitShare): Promise<void> {
  const found = await port.read();
  const next: SharedLimit | null = shared.without(found?.value ?? null);
  if (next !== null) await port.write(next, found?.tag ?? null);
}

function createFixedControl(limit: number): ConcurrencyControl {
  const nothing = () => () => undefined;
  return { limit, reach: limit, sent: nothing, probed: nothing, told: () => undefined };
}

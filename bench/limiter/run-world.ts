import { numbers } from '../../examples/upstream/behaviour.ts';
import type { ConcurrencyControl, ConcurrencyControlOptions } from '../../src/upstream/admission/concurrency-control.ts';
import { createLimitShare, EXCHANGE_MS, type SharedLimit } from '../../src/upstream/admission/shared-limit.ts';
import { type Clock, createClock } from './clock.ts';
import { createSender } from './sender.ts';
import type { World } from './worlds.ts';

export type CreateControl = (options: ConcurrencyControlOptions) => ConcurrencyControl;

/** What one control did in one world. */
export interface Run {
  /** Of the ideal. */
  share: number;
  failed: number;
  refused: number;
  answers: number;
  /** What 95 in 100 requests of an interactive client wait for their turn at most, in seconds. */
  waitP95: number;
  /** Over all workers. */
  meanLimit: number;
  /** Of the last tenth of the time. */
  lastLimit: number;
  curve: { minute: number; limit: number; queued: number }[];
}

const SAMPLES = 400;
const ASK_MS = 1_500;
const REQUEST_TIMEOUT_MS = 1_800_000;
const MAX_IN_FLIGHT = 1024;

/** Runs a world in simulated time; the same seed gives the same run. With `asks` the workers read the server's own queue. */
export function runWorld(world: World, createControl: CreateControl, seed: number, { asks = false } = {}): Run {
  const clock = createClock();
  const random = numbers(seed);
  const server = world.server(clock, random);
  const { timeoutMs = REQUEST_TIMEOUT_MS, maxInFlight = MAX_IN_FLIGHT, usage = true, workers = 1, neighbour = 0 } = world;
  const options = { maxInFlight, requestTimeoutMs: timeoutMs, monotonicMs: () => clock.nowMs };
  const controls =
    workers === 1 ? [createControl(options)] : shareLimit(clock, workers, (given) => createControl({ ...options, ...given }));
  const senders = controls.map((control) => createSender({ clock, server, control, timeoutMs, usage, random }));
  if (neighbour > 0) createSender({ clock, server, control: createFixedControl(neighbour), timeoutMs: REQUEST_TIMEOUT_MS, usage, random });
  const waits: number[] = [];
  (function visit(): void {
    server.visit((waitMs) => waits.push(waitMs / 1000));
    clock.after(1000, visit);
  })();
  (function ask(): void {
    if (asks) for (const control of controls) control.told({ running: server.running, waiting: server.queued });
    // A limit may grow by itself.
    for (const { pump } of senders) pump();
    clock.after(ASK_MS, ask);
  })();
  const curve: Run['curve'] = [];
  for (let sample = 1; sample <= SAMPLES; sample++) {
    const minute = (sample * world.minutes) / SAMPLES;
    clock.runUntil(minute * 60_000);
    curve.push({ minute, limit: sum(controls.map(({ limit }) => limit)), queued: server.queued });
  }
  const total = (count: (sender: (typeof senders)[number]) => number) => sum(senders.map(count));
  return {
    share: total((sender) => sender[world.measure]) / world.ideal,
    failed: total(({ failed }) => failed),
    refused: total(({ refused }) => refused),
    answers: total(({ answers }) => answers),
    waitP95: waits.toSorted((a, b) => a - b)[Math.floor(0.95 * waits.length)] ?? 0,
    meanLimit: mean(curve.map(({ limit }) => limit)),
    lastLimit: mean(curve.slice(-SAMPLES / 10).map(({ limit }) => limit)),
    curve,
  };
}

/** The controls of workers that share a limit, each of them with more to do than it may send. */
function shareLimit(
  clock: Clock,
  workers: number,
  create: (given: Partial<ConcurrencyControlOptions>) => ConcurrencyControl,
): ConcurrencyControl[] {
  let stored: SharedLimit | null = null;
  return Array.from({ length: workers }, (_, number) => {
    const share = createLimitShare({
      id: String(number),
      createControl: ({ from, ...given }) => create({ ...given, ...(from === null ? {} : { firstInFlight: from }) }),
      demand: () => 2 * MAX_IN_FLIGHT,
      monotonicMs: () => clock.nowMs,
    });
    function exchange(): void {
      stored = share.next(stored);
      share.adopt(stored);
      clock.after(EXCHANGE_MS, exchange);
    }
    clock.after((number * EXCHANGE_MS) / workers, exchange);
    return share.control;
  });
}

/** Always this limit. */
export function createFixedControl(limit: number): ConcurrencyControl {
  const nothing = () => () => undefined;
  return { limit, reach: limit, sent: nothing, probed: nothing, told: () => undefined };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

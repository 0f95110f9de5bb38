import type { UpstreamPause } from './upstream-pauses.ts';
import type { Minute } from './worker-state.ts';

/** One upstream as operators see it. Times are Unix seconds, rates per second over the last half minute. */
export interface UpstreamView {
  object: 'nightshift.upstream';
  name: string;
  models: string[];
  paused: UpstreamPause['what'] | null;
  paused_at: number | null;
  /** When its quiet hours end, in words; null outside of them. */
  quiet_until: string | null;
  /** Worker processes that send to it. */
  workers: number;
  limit: number;
  in_flight: number;
  answers_per_second: number;
  refusals_per_second: number;
  faults_per_second: number;
  /** Requests that wait inside of workers. */
  waiting_requests: number;
  /** Batches that its queue lets run, and those that wait in it; null when Temporal does not tell. */
  admitted_batches: number | null;
  waiting_batches: number | null;
  servers: ServerView[];
  /** The last hour by minutes, oldest first. */
  history: MinuteView[];
}

interface ServerView {
  server: string;
  limit: number;
  in_flight: number;
  answers_per_second: number;
  refusals_per_second: number;
  faults_per_second: number;
  gates: GateView[];
}

/** What holds requests to a server back. */
export interface GateView {
  /** Null where all models are held back. */
  model: string | null;
  reason: string;
  server_says: string;
  since: number;
}

type MinuteView = Omit<Minute, 'inFlight'> & { in_flight: number };

import { applyPauses, followPauses } from './follow-pauses.ts';
import { retryUntilUp } from './retry-until-up.ts';
import type { Shutdown } from './shutdown.ts';
import { createStateRecorder, tellState } from './tell-state.ts';
import type { WorkerRole } from '../config/settings.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { createPauseStore } from '../storage/pause-store.ts';
import { createWorkerStateStore } from '../storage/worker-state-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Upstream } from '../upstream/upstream.ts';

interface Served {
  roles: readonly WorkerRole[];
  workerId: string;
  upstreams: readonly Pick<Upstream, 'name' | 'pause' | 'waiting' | 'quietUntil' | 'serverStates'>[];
  store: ObjectStore;
  nowMs: () => number;
}

/**
 * Applies what operators have paused, and tells them the state of the upstreams until the workers of the process have ended. To be called
 * before these are opened. Resolves once the pauses are applied; does nothing in a process that sends no requests.
 */
export async function serveOperators(
  { roles, workerId, upstreams, store, nowMs }: Served,
  shutdown: Pick<Shutdown, 'draining' | 'closes'>,
  logger: Logger,
): Promise<void> {
  if (!roles.includes('requests')) return;
  const signal = shutdown.draining;
  const pauses = { pauses: createPauseStore({ store }), upstreams, logger };
  // Before the first request.
  await retryUntilUp('the list of paused upstreams', async () => await applyPauses(pauses), { logger, signal });
  void followPauses({ ...pauses, signal });
  const workersEnded = new AbortController();
  const record = createStateRecorder(upstreams, nowMs);
  const telling = tellState({ workerId, states: createWorkerStateStore({ store }), record, nowMs, signal: workersEnded.signal });
  // Closed after what is opened later, so that a worker which drains still shows its requests in flight.
  shutdown.closes('state of the worker', async () => {
    workersEnded.abort();
    await telling;
  });
}

import { pauseOf } from '../domain/upstream-pauses.ts';
import type { GateView, UpstreamView } from '../domain/upstream-view.ts';
import { addRates, type GateState, type Rates, sumWorkers, type SummedUpstream } from '../domain/worker-state.ts';
import type { ModelStore } from '../storage/model-store.ts';
import type { PauseStore } from '../storage/pause-store.ts';
import type { WorkerStateStore } from '../storage/worker-state-store.ts';
import type { BatchRuns } from '../temporal/batch-runs.ts';

interface Deps {
  models: Pick<ModelStore, 'served'>;
  workerStates: Pick<WorkerStateStore, 'list'>;
  pauses: Pick<PauseStore, 'read'>;
  runs: Pick<BatchRuns, 'queue'>;
  nowMs: () => number;
  monotonicMs: () => number;
}

/** However many look, bucket and Temporal are asked once in this time. */
const MAX_AGE_MS = 2_000;
const NO_RATES: Rates = { answers: 0, refusals: 0, faults: 0 };
const NO_WORKER: SummedUpstream = { workers: 0, quietUntil: null, waiting: 0, servers: [], minutes: [] };
const REASONS: Readonly<Record<GateState['kind'], string>> = {
  away: 'upstream_away',
  refused: 'upstream_refuses',
  failed: 'upstream_fails',
  denied: 'upstream_denies',
};

type Facts = Omit<UpstreamView, 'paused' | 'paused_at'>[];

/** Answers all upstreams that workers have told of in the last hour. What is paused is always read anew. */
export function createUpstreamOverview(deps: Deps): () => Promise<{ paused_at: number | null; upstreams: UpstreamView[] }> {
  let last: { atMs: number; facts: Promise<Facts> } | null = null;

  function currentFacts(): Promise<Facts> {
    if (last !== null && deps.monotonicMs() - last.atMs < MAX_AGE_MS) return last.facts;
    const begun = { atMs: deps.monotonicMs(), facts: readFacts(deps) };
    last = begun;
    // A failure is for those who asked, and the next one asks again.
    begun.facts.catch(() => (last = last === begun ? null : last));
    return begun.facts;
  }

  return async () => {
    const [pauses, facts] = await Promise.all([deps.pauses.read(), currentFacts()]);
    const upstreams = facts.map((each): UpstreamView => {
      const pause = pauseOf(pauses, each.name);
      return { ...each, paused: pause?.what ?? null, paused_at: pause?.since ?? null };
    });
    return { paused_at: pauses.all, upstreams };
  };
}

async function readFacts({ models, workerStates, runs, nowMs }: Deps): Promise<Facts> {
  const [served, workers] = await Promise.all([models.served(), workerStates.list()]);
  const sums = sumWorkers(workers, nowMs());
  const names = [...new Set([...served.upstreams.map(({ name }) => name), ...sums.keys()])];
  return await Promise.all(
    names.map(async (name) => {
      const queue = await runs.queue(name).catch(() => null);
      const sum = sums.get(name) ?? NO_WORKER;
      return {
        object: 'nightshift.upstream' as const,
        name,
        models: served.models.filter(({ upstream }) => upstream === name).map(({ model }) => model),
        quiet_until: sum.quietUntil,
        workers: sum.workers,
        ...load(sum.servers),
        waiting_requests: sum.waiting,
        admitted_batches: queue?.reduce((count, { admitted }) => count + admitted.length, 0) ?? null,
        waiting_batches: queue?.reduce((count, { allWaiting }) => count + allWaiting, 0) ?? null,
        servers: sum.servers.map(({ server, gates, ...rest }) => ({ server, ...load([rest]), gates: gates.map(toGateView) })),
        history: sum.minutes.map(({ inFlight, ...rest }) => ({ ...rest, in_flight: inFlight })),
      };
    }),
  );
}

function load(servers: readonly { limit: number; inFlight: number; rates: Rates }[]) {
  const rates = servers.reduce((sum, each) => addRates(sum, each.rates), NO_RATES);
  return {
    limit: servers.reduce((sum, { limit }) => sum + limit, 0),
    in_flight: servers.reduce((sum, { inFlight }) => sum + inFlight, 0),
    answers_per_second: rates.answers,
    refusals_per_second: rates.refusals,
    faults_per_second: rates.faults,
  };
}

function toGateView({ model, kind, serverSays, sinceMs }: GateState): GateView {
  return { model, reason: REASONS[kind], server_says: serverSays, since: Math.floor(sinceMs / 1000) };
}

import type { Entrant } from './entrant.ts';
import type { UpstreamServer } from './server.ts';

/** An entrant that waits. One of the two is called, once. */
export interface Waiter {
  readonly entrant: Entrant;
  take(server: UpstreamServer, isProbe: boolean): void;
  end(entry: 'closed' | 'given_up'): void;
}

/** Waiters of one batch and model, the lowest rank first. */
interface Group {
  tenant: string;
  batchKey: string;
  model: string;
  priority: number;
  waiters: Waiter[];
}

/** Those who wait for a server, by batch and model. */
export class Waiters {
  readonly #groups = new Map<string, Group>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(waiter: Waiter): void {
    const { tenant, batchId, model, priority, rank } = waiter.entrant;
    const key = keyOf(waiter.entrant);
    const group = this.#groups.get(key) ?? { tenant, batchKey: `${tenant}/${batchId}`, model, priority, waiters: [] };
    this.#groups.set(key, group);
    const { waiters } = group;
    const last = waiters.at(-1);
    if (last === undefined || last.entrant.rank <= rank) waiters.push(waiter);
    else
      waiters.splice(
        waiters.findIndex(({ entrant }) => entrant.rank > rank),
        0,
        waiter,
      );
    this.#size += 1;
  }

  remove(waiter: Waiter): void {
    const key = keyOf(waiter.entrant);
    const group = this.#groups.get(key);
    const at = group?.waiters.indexOf(waiter) ?? -1;
    if (group === undefined || at === -1) return;
    group.waiters.splice(at, 1);
    this.#size -= 1;
    // It goes behind the others, so that of equals each has its turn.
    this.#groups.delete(key);
    if (group.waiters.length > 0) this.#groups.set(key, group);
  }

  /** Of the most urgent waiters, the first one of the tenant, then the batch, with the fewest in flight. */
  next(given: {
    inFlight: ReadonlyMap<string, number>;
    mayGo: (model: string) => boolean;
    wants: (entrant: Entrant) => boolean;
  }): Waiter | null {
    let best: Waiter | null = null;
    let least = [Infinity, Infinity, Infinity] as const;
    for (const { tenant, batchKey, model, priority, waiters } of this.#groups.values()) {
      const order = [priority, given.inFlight.get(tenant) ?? 0, given.inFlight.get(batchKey) ?? 0] as const;
      if (!isBefore(order, least) || !given.mayGo(model)) continue;
      const waiter = waiters.find(({ entrant }) => given.wants(entrant));
      if (waiter === undefined) continue;
      best = waiter;
      least = order;
    }
    return best;
  }

  /** Of the waiters whose model fits, the one that was a probe least often; one that never failed by itself where there is one. */
  leastProbed(fits: (model: string) => boolean): Waiter | null {
    let best: Waiter | null = null;
    for (const { model, waiters } of this.#groups.values()) {
      if (!fits(model)) continue;
      for (const waiter of waiters) if (best === null || isBetterProbe(waiter.entrant, best.entrant)) best = waiter;
    }
    return best;
  }

  models(): Set<string> {
    return new Set([...this.#groups.values()].map(({ model }) => model));
  }

  /** The waiters of a model that fit, which wait no longer. */
  takeModel(model: string, fits: (entrant: Entrant) => boolean = () => true): Waiter[] {
    const ofModel = [...this.#groups.values()].filter((group) => group.model === model).flatMap(({ waiters }) => waiters);
    const taken = ofModel.filter(({ entrant }) => fits(entrant));
    for (const waiter of taken) this.remove(waiter);
    return taken;
  }
}

function isBetterProbe(a: Entrant, b: Entrant): boolean {
  const [hasFailed, otherHasFailed] = [a.faults > 0, b.faults > 0];
  return hasFailed === otherHasFailed ? a.probes < b.probes : otherHasFailed;
}

type Order = readonly [priority: number, ofTenant: number, ofBatch: number];

function isBefore([priority, ofTenant, ofBatch]: Order, [otherPriority, otherTenant, otherBatch]: Order): boolean {
  if (priority !== otherPriority) return priority < otherPriority;
  return ofTenant === otherTenant ? ofBatch < otherBatch : ofTenant < otherTenant;
}

function keyOf({ tenant, batchId, model, priority }: Entrant): string {
  return `${priority}/${tenant}/${batchId}\n${model}`;
}

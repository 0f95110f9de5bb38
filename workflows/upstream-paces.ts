import type { ShardRange } from '../src/domain/plan.ts';
import { firstPace, type Pace } from '../src/domain/slice.ts';
import type { BatchInput, PlannedUpstream, ValidatedInput } from './contract.ts';

type Plan = Extract<ValidatedInput, { verdict: 'accepted' }>;

/** The upstreams of a plan, in its order. */
export function upstreamsOf({ upstream: name, linesPerActivity, capacity, otherUpstreams = [] }: Plan): PlannedUpstream[] {
  const first = { name, ...(linesPerActivity === undefined ? {} : { linesPerActivity }), ...(capacity === undefined ? {} : { capacity }) };
  return [first, ...otherUpstreams];
}

/** An upstream of a batch: what is known of its pace, and which shards hand out its lines. */
export interface UpstreamState {
  readonly name: string;
  /** Its number in the plan. */
  readonly upstream: number;
  readonly linesPerActivity: number | null;
  pace: Pace;
  readonly handingOut: Set<number>;
}

/** The state of each upstream at the beginning of a run. */
export function beginUpstreams(input: BatchInput, plan: Plan): UpstreamState[] {
  const { batchesRunning } = plan;
  const { maxInFlight, linesPerActivity } = input.policy;
  return upstreamsOf(plan).map((planned, upstream) => {
    const known = upstream === 0 ? input.pace : input.otherPaces?.[planned.name];
    return {
      name: planned.name,
      upstream,
      linesPerActivity: planned.linesPerActivity ?? linesPerActivity,
      pace: known ?? firstPace({ batchesRunning, maxInFlight, capacity: planned.capacity }),
      handingOut: new Set(),
    };
  });
}

/** Those that serve lines of a shard. */
export function ofShard(upstreams: readonly UpstreamState[], { upstreams: numbers = [0] }: ShardRange): UpstreamState[] {
  return numbers.flatMap((number) => upstreams[number] ?? []);
}

/** What a run that continues as new hands on beside the pace of the first upstream. */
export function otherPaces(upstreams: readonly UpstreamState[]): Pick<BatchInput, 'otherPaces'> {
  const others = upstreams.slice(1);
  return others.length === 0 ? {} : { otherPaces: Object.fromEntries(others.map(({ name, pace }) => [name, pace])) };
}

import { linesIn } from '../src/domain/line-ranges.ts';
import { listedLines } from '../src/domain/own-lines.ts';
import type { Pace } from '../src/domain/slice.ts';
import type { MixedUpstream, ShardInput, ShardLines } from './contract.ts';
import { createHandOut, type HandOut } from './hand-out.ts';

/** The hand-out of a shard whose lines go to several upstreams. */
export interface MixedHandOut extends HandOut {
  /** By name of the upstream. */
  readonly paces: Record<string, Pace>;
}

/** Hands out the lines of each upstream at its own pace, so that one that is slow or closed does not hold up the others. */
export function createMixedHandOut(
  input: ShardInput,
  mixed: readonly MixedUpstream[],
  { onDrained, onChange }: { onDrained: (upstream: string) => void; onChange: () => void },
): MixedHandOut {
  let parts: { name: string; handOut: HandOut }[] | null = null;
  let stopped = false;

  function part({ name, upstream, pace, shardsHandingOut, linesPerActivity }: MixedUpstream, lines: ShardLines): HandOut {
    const ranges = lines.find((of) => of.upstream === upstream)?.lines ?? [];
    return createHandOut(
      { ...input, upstream: name, pace, shardsHandingOut, policy: { ...input.policy, linesPerActivity } },
      { onDrained: () => onDrained(name), onChange },
      { upstream, lines: listedLines([...linesIn(ranges)]) },
    );
  }

  function sum(of: (handOut: HandOut) => number): number {
    return (parts ?? []).reduce((total, { handOut }) => total + of(handOut), 0);
  }

  return {
    begin(shard) {
      parts = mixed.map((upstream) => ({ name: upstream.name, handOut: part(upstream, shard.lines) }));
      for (const { handOut } of parts) {
        handOut.begin(shard);
        if (stopped) handOut.stop();
      }
    },
    async run() {
      await Promise.all((parts ?? []).map(async ({ handOut }) => await handOut.run()));
    },
    stop() {
      stopped = true;
      for (const { handOut } of parts ?? []) handOut.stop();
    },
    putBack(missing) {
      for (const { handOut } of parts ?? []) handOut.putBack(missing);
    },
    get over() {
      return stopped || (parts ?? []).some(({ handOut }) => handOut.over);
    },
    get paces() {
      const found = mixed.map(({ name, pace }) => [name, parts?.find((each) => each.name === name)?.handOut.pace ?? pace] as const);
      return Object.fromEntries(found);
    },
    get pace() {
      return parts?.[0]?.handOut.pace ?? input.pace;
    },
    get completed() {
      return sum(({ completed }) => completed);
    },
    get failed() {
      return sum(({ failed }) => failed);
    },
    get linesOut() {
      return sum(({ linesOut }) => linesOut);
    },
  };
}

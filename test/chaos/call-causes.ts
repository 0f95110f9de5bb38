import type OpenAI from 'openai';
import type { Causes } from './check-calls.ts';
import type { FaultLog } from './faults.ts';
import type { MadeInput } from './make-input.ts';

/** What the batches of a run and all that was done meanwhile explain of its calls. `originMs` is the Unix time at which `performance.now()` began. */
export function causesOf(
  { harms, upstreamDeathsMs }: Pick<FaultLog, 'harms' | 'upstreamDeathsMs'>,
  batches: readonly OpenAI.Batch[],
  inputs: ReadonlyMap<string, Pick<MadeInput, 'planted'>>,
  originMs: number,
): Causes {
  const byId = new Map(batches.map((batch) => [batch.id, batch]));

  function lineOf(key: string): { batch: OpenAI.Batch | null; line: number } {
    const at = key.lastIndexOf('-');
    return { batch: byId.get(key.slice(0, at)) ?? null, line: Number(key.slice(at + 1)) };
  }

  return {
    harms,
    upstreamDeathsMs,
    plantedOf(key) {
      const { batch, line } = lineOf(key);
      return inputs.get(batch?.input_file_id ?? '')?.planted[line - 1] ?? null;
    },
    endingMsOf(key) {
      const { batch } = lineOf(key);
      const seconds = Math.min(batch?.cancelling_at ?? Infinity, batch?.expires_at ?? Infinity);
      return seconds * 1000 - originMs;
    },
  };
}

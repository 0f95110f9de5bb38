import type { CallSum } from './check-calls.ts';
import type { FaultLog } from './faults.ts';
import type { Deeds } from './load.ts';

/** What one run of chaos did, and what came of it. */
export interface ChaosReport {
  seed: number;
  seconds: number;
  faults: FaultLog;
  statuses: Map<string, number>;
  lines: number;
  /** Lines that had as many faults as end a request, and what these were. */
  endedByFaults: string[];
  deeds: Deeds;
  /** Deaths of workers by a poisonous line; null where none was planted. */
  poisonings: number | null;
  calls: CallSum;
  /** Batches that ran, and those of them whose shard results were compared with their files. */
  ran: number;
  shardsCompared: number;
  /** Everything that ought not to be; empty after a good run. */
  complaints: string[];
}

/** The totals, a line each. */
export function toText({
  seed,
  seconds,
  faults,
  statuses,
  lines,
  endedByFaults,
  deeds,
  poisonings,
  calls,
  ran,
  shardsCompared,
  complaints,
}: ChaosReport): string {
  const list = (counts: Map<string, number>) => [...counts].map(([name, count]) => `${count} ${name}`).join(', ');
  const batches = [...statuses.values()].reduce((sum, count) => sum + count, 0);
  return [
    `seed ${seed}, ${seconds} s`,
    `faults          ${[...faults.counts.values()].reduce((sum, count) => sum + count, 0)}: ${list(faults.counts)}`,
    `poison          ${poisonings === null ? 'none' : `${poisonings} deaths of workers`}`,
    `clients         ${deeds.inputs.size} uploads, ${deeds.uploadsInParts} of them in parts, ${deeds.givenUp.size} given up, ${deeds.cancels.size} batches cancelled, ${deeds.pauses} paused and resumed, ${deeds.deletedFiles.size} files deleted, ${deeds.hangUps} hang-ups`,
    `batches         ${batches}: ${list(statuses)}; shard results of ${shardsCompared} of ${ran} compared`,
    `lines           ${lines}, ${endedByFaults.length} of them ended by faults`,
    ...endedByFaults.map((line) => `  ${line}`),
    `calls upstream  ${calls.calls}, at most ${calls.bound}: ${calls.faults} faults, ${calls.broken} broken off, ${calls.answeredAgain} answered again`,
    `complaints      ${complaints.length}`,
    ...complaints.slice(0, 200).map((complaint) => `  ${complaint}`),
  ].join('\n');
}

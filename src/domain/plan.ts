import type { BatchError } from './batch.ts';
import { SHARD_MAX_BYTES, SHARD_MAX_LINES } from './limits.ts';

/**
 * How an input file is cut. Lines are physical: numbered from 1, blank lines counted, so that a line has one number in
 * errors, pieces, slices and the Temporal UI. A shard is a contiguous run of lines; stretches of blank lines that hold
 * no request belong to no shard.
 */
export interface ShardRange {
  /** Number of the shard, from 0. */
  shard: number;
  firstLine: number;
  lastLine: number;
  /** How many of these lines hold a request (the others are blank). */
  requests: number;
  /** Numbers of the upstreams that serve them, among those of the plan, ascending; absent for the first one alone. */
  upstreams?: number[];
  /** How many of the requests get the answer of an equal one; absent for none. */
  copies?: number;
}

/**
 * One request of the input file: offset and length in bytes, without the line break. Its custom_id is here so that a batch can end
 * without its input. As JSON a custom_id is no longer than in the input, so a plan never has much more bytes than its lines.
 */
export interface PlannedLine {
  line: number;
  offset: number;
  length: number;
  customId: string;
  /** Number of the upstream that serves it, among those of the plan; absent for the first. */
  upstream?: number;
  /** An earlier line with an equal request, whose answer this one gets; it is not sent. */
  copyOf?: number;
  /** Number of the model it names, among those of the plan; absent for the first. */
  model?: number;
}

/** One object per shard in the bucket: its lines in order, blank ones left out. */
export interface ShardPlan extends ShardRange {
  lines: PlannedLine[];
}

/**
 * The head of a plan, written create-only and last: once it is there, the verdict on the input stands and a restart uses
 * it. A refused input carries its errors, at most 101.
 */
export type PlanHead =
  | { verdict: 'refused'; errors: BatchError[] }
  | {
      verdict: 'accepted';
      /** Requests in the batch. */
      total: number;
      /** The model all lines name; null when they name several. */
      model: string | null;
      /** The models that lines name, in the order of their first lines, null for none; and a hundred at most. */
      models: (string | null)[];
      /** Names of the upstreams that serve the models of the batch, in the order of their first lines. */
      upstreams: string[];
      /** Ascending; the first one begins at shard 0. */
      nonces: PlanNonce[];
      shards: ShardRange[];
    };

/** Each attempt to validate has a nonce in the names of its shards, so that attempts keep apart: those from `firstShard` on have this one. */
export interface PlanNonce {
  firstShard: number;
  nonce: string;
}

/** How far a validation had come: what it found since the segment before, and all that one needs to go on after the last line. */
export interface PlanSegment {
  /** Names of the segments before. */
  earlier: string[];
  /** The last line, and where its bytes end. */
  place: { line: number; offset: number };
  nonces: PlanNonce[];
  /** Shards that were written since the segment before. */
  shards: ShardRange[];
  /** Lines of the shard that is not full. */
  pending: PlannedLine[];
  checked: CheckedSoFar;
  /** Hashes of the custom_ids since the segment before, as base64. */
  customIds: string;
  /** Hashes of the requests since the segment before, as base64, where equal ones are sent once. */
  bodies: string;
}

/** What all lines so far amount to. */
export interface CheckedSoFar {
  requests: number;
  embeddingInputs: number;
  errors: BatchError[];
  models: { hasLines: boolean; common: string | null; upstreams: string[]; names: (string | null)[] };
}

/** Cuts lines into shards as they come; a cut shard is answered by the `add` that no longer fits it, the last one by `end`. */
export interface Planner {
  add(line: PlannedLine): ShardPlan | null;
  end(): ShardPlan | null;
  /** Lines that are in no shard yet. */
  readonly pending: readonly PlannedLine[];
}

/**
 * Cuts shards of at most `maxLines` physical lines and `maxBytes` of input from first to last byte. Blank lines before and
 * after a shard belong to none; a line longer than `maxBytes` is a shard of its own.
 */
export function createPlanner({
  maxLines = SHARD_MAX_LINES,
  maxBytes = SHARD_MAX_BYTES,
  from = { shard: 0, pending: [] },
}: { maxLines?: number; maxBytes?: number; from?: { shard: number; pending: readonly PlannedLine[] } } = {}): Planner {
  let { shard } = from;
  let lines = [...from.pending];

  const cut = (): ShardPlan | null => {
    const first = lines[0];
    const last = lines.at(-1);
    if (first === undefined || last === undefined) return null;
    const copies = lines.filter(({ copyOf }) => copyOf !== undefined).length;
    const upstreams = [...new Set(lines.map(upstreamOf))].filter((upstream) => upstream !== NO_UPSTREAM).sort((a, b) => a - b);
    const ofOthers = upstreams.some((upstream) => upstream > 0) ? { upstreams } : {};
    const plan = {
      shard: shard++,
      firstLine: first.line,
      lastLine: last.line,
      requests: lines.length,
      ...ofOthers,
      ...(copies > 0 ? { copies } : {}),
      lines,
    };
    lines = [];
    return plan;
  };

  return {
    add(line) {
      const first = lines[0];
      const fits = first === undefined || (line.line - first.line < maxLines && line.offset + line.length - first.offset <= maxBytes);
      const plan = fits ? null : cut();
      lines.push(line);
      return plan;
    },
    end: cut,
    get pending() {
      return lines;
    },
  };
}

/** The number of no upstream; numbers are kept in 16 bits. */
const NO_UPSTREAM = 0xffff;

/** Number of the upstream to which a line is sent; that of no upstream if it is not sent, so that nothing hands it out. */
export function upstreamOf({ upstream = 0, copyOf }: Pick<PlannedLine, 'upstream' | 'copyOf'>): number {
  return copyOf === undefined ? upstream : NO_UPSTREAM;
}

/** The lines of a shard between two, of one upstream where `mixed` names it. */
export function linesOfSlice(
  { lines }: Pick<ShardPlan, 'lines'>,
  { firstLine, lastLine, mixed }: { firstLine: number; lastLine: number; mixed?: { upstream: number } | undefined },
): PlannedLine[] {
  const isOwn = (line: PlannedLine) => mixed === undefined || upstreamOf(line) === mixed.upstream;
  return lines.filter((planned) => planned.line >= firstLine && planned.line <= lastLine && isOwn(planned));
}

import { Context } from '@temporalio/activity';
import { addUsage, type BatchRecord, zeroUsage } from '../src/domain/batch.ts';
import { type ClosedLine, OUTCOME_OF, toClosedLine } from '../src/domain/closed-lines.ts';
import { newResultLineId } from '../src/domain/ids.ts';
import { lineRanges } from '../src/domain/line-ranges.ts';
import { windowEndMs } from '../src/domain/pause.ts';
import type { PlannedLine, ShardPlan } from '../src/domain/plan.ts';
import { notRunLine, type NotRunReason } from '../src/domain/result-line.ts';
import { type PieceEntry, type ShardResult, takeOutcome } from '../src/domain/piece.ts';
import { shardUsage } from '../src/domain/usage.ts';
import type { ClosedShard, CloseShardInput } from '../workflows/contract.ts';
import { type Heartbeat, startHeartbeat } from './heartbeat.ts';
import type { ControlMemory } from './control-memory.ts';
import type { ActivityDeps } from './deps.ts';
import { unknownBatch } from './save-batch.ts';

/** Result lines of small pieces that are kept from their listing to their writing: all, where a shard had an activity per line. */
const KEEP_BYTES = 8 * 1024 * 1024;

interface UnrunLine {
  line: number;
  resultLine: Buffer;
}

/**
 * Makes the shard result out of the pieces, once. A second run finds it; two that run at once write their objects under
 * names of their own, and of two shard results the first stands for both. What the other wrote nobody reads.
 */
export function createCloseShard(deps: Pick<ActivityDeps, 'batches' | 'pieces' | 'randomHex'> & { controlMemory: ControlMemory }) {
  const { batches, pieces, randomHex, controlMemory } = deps;

  /** The one outcome of each line: completed before failed, then the lowest key, which comes first. */
  async function decide(batchId: string, plan: ShardPlan, heartbeat: Heartbeat): Promise<Map<number, PieceEntry>> {
    const wanted = new Set(plan.lines.map(({ line }) => line));
    const decided = new Map<number, PieceEntry>();
    for await (const entries of pieces.listPieceEntries(batchId, plan.shard, { keepBytes: KEEP_BYTES })) {
      await heartbeat.step();
      for (const entry of entries) {
        if (wanted.has(entry.line)) takeOutcome(decided, entry);
      }
    }
    return decided;
  }

  /** Why lines without an outcome may be closed all the same; null when they may not. Only the record knows. */
  async function reasonNotToRun({ tenant, batchId }: CloseShardInput): Promise<NotRunReason | null> {
    const record: BatchRecord | null = await batches.get(tenant, batchId);
    if (record === null) throw unknownBatch();
    const { status } = record.batch;
    if (status === 'cancelling') return 'batch_cancelled';
    // By Temporal's clock, which also ends the window: a worker whose own is wrong must end it neither early nor late.
    const nowMs = Context.current().info.currentAttemptScheduledTimestampMs;
    return status === 'in_progress' && nowMs >= (windowEndMs(record) ?? Infinity) ? 'batch_expired' : null;
  }

  /** The lines of the error object in input order: what failed as its piece has it, and what never ran. */
  async function* errorLines(
    failed: readonly PieceEntry[],
    unrun: Iterator<UnrunLine, void, undefined>,
  ): AsyncGenerator<Buffer[], void, undefined> {
    let next = unrun.next();
    let at = 0;
    for await (const lines of pieces.readResultLines(failed)) {
      for (const line of lines) {
        const failedLine = failed[at++]?.line ?? 0;
        for (; next.done !== true && next.value.line < failedLine; next = unrun.next()) yield [next.value.resultLine];
        yield [line];
      }
    }
    for (; next.done !== true; next = unrun.next()) yield [next.value.resultLine];
  }

  /** Result lines for what never ran. The plan has their custom_ids, so that a batch ends even if its input is gone. */
  function* unrunLines(missing: readonly PlannedLine[], reason: NotRunReason): Generator<UnrunLine, void, undefined> {
    for (const { line, customId } of missing) {
      yield { line, resultLine: notRunLine({ id: newResultLineId(randomHex(32)), customId, reason }) };
    }
  }

  return async function closeShard(input: CloseShardInput): Promise<ClosedShard> {
    const { batchId, range } = input;
    const { shard, firstLine, lastLine } = range;
    const progress = { shard, lines: 0 };
    using heartbeat = startHeartbeat(() => progress);
    const standing = await pieces.getShardResult(batchId, shard);
    if (standing !== null) return asClosed(standing);

    const plan = await pieces.getPlanShard(batchId, shard);
    if (plan === null) throw new Error(`shard ${shard} has no plan`);
    using memory = await controlMemory.closing(heartbeat.signal);
    // What counts from now on has a piece that the reading below may miss.
    await batches.tallies.freeze(batchId, shard);
    const without = (found: ReadonlyMap<number, PieceEntry>) => plan.lines.filter(({ line }) => !found.has(line));
    let decided = await decide(batchId, plan, heartbeat);
    let missing = without(decided);
    const reason = missing.length === 0 ? null : await reasonNotToRun(input);
    if (missing.length > 0 && reason === null) {
      await batches.tallies.thaw(batchId, shard);
      return { closed: false, missing: lineRanges(missing.map(({ line }) => line)) };
    }
    if (reason !== null) {
      // If this process stood still in between, another one may have sent missing lines before the batch began to end.
      decided = await decide(batchId, plan, heartbeat);
      missing = without(decided);
    }

    const inOrder = plan.lines.flatMap(({ line }) => decided.get(line) ?? []);
    const completed = inOrder.filter(({ outcome }) => outcome === 'completed');
    const failed = inOrder.filter(({ outcome }) => outcome === 'failed');
    await memory.fit(inOrder, heartbeat.signal);
    const nonce = randomHex(16);
    const watched = (lines: AsyncIterable<Buffer[]>) => countLines(lines, progress, heartbeat);
    const output = await pieces.putShardObject({ batchId, shard, nonce, role: 'output' }, watched(pieces.readResultLines(completed)));
    const unrun: UnrunLine[] = reason === null ? [] : [...unrunLines(missing, reason)];
    const error = await pieces.putShardObject({ batchId, shard, nonce, role: 'error' }, watched(errorLines(failed, unrun.values())));
    // Between the reading of the pieces and here another closer may have come to another result: the first one counts.
    const result = await pieces.createShardResult(batchId, {
      shard,
      firstLine,
      lastLine,
      completed: completed.length,
      failed: failed.length,
      notRun: missing.length,
      usage: completed.reduce((sum, { usage }) => (usage === null ? sum : addUsage(sum, usage)), zeroUsage()),
      models: shardUsage(plan.lines, decided),
      output,
      error,
      lines: closedLines(plan, decided, unrun, reason),
    });
    return asClosed(result);
  };
}

/** All lines of the shard that have an outcome now, in order. */
function closedLines(
  { lines }: ShardPlan,
  decided: ReadonlyMap<number, PieceEntry>,
  unrun: readonly UnrunLine[],
  reason: NotRunReason | null,
): ClosedLine[] {
  const lengths = new Map(unrun.map(({ line, resultLine }) => [line, resultLine.length]));
  return lines.map(({ line }) => {
    const notRun = { line, outcome: OUTCOME_OF[reason ?? 'batch_expired'], attempts: 0, milliseconds: null, usage: null };
    return toClosedLine(decided.get(line) ?? { ...notRun, length: lengths.get(line) ?? 0 });
  });
}

function asClosed({ completed, failed }: ShardResult): ClosedShard {
  return { closed: true, completed, failed };
}

async function* countLines(
  lines: AsyncIterable<Buffer[]>,
  progress: { lines: number },
  heartbeat: Heartbeat,
): AsyncGenerator<Buffer[], void, undefined> {
  for await (const some of lines) {
    await heartbeat.step();
    yield some;
    progress.lines += some.length;
  }
}

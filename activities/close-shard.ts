import { Context } from '@temporalio/activity';
import { addUsage, type BatchRecord, zeroUsage } from '../src/domain/batch.ts';
import { type ClosedLine, OUTCOME_OF, toClosedLine } from '../src/domain/closed-lines.ts';
import { type Failure, type FailureGroup, groupFailures, readFailure } from '../src/domain/failures.ts';
import { newResultLineId } from '../src/domain/ids.ts';
import { lineRanges } from '../src/domain/line-ranges.ts';
import { windowEndMs } from '../src/domain/pause.ts';
import type { PlannedLine, ShardPlan } from '../src/domain/plan.ts';
import { copiedLine, notRunLine, type NotRunReason } from '../src/domain/result-line.ts';
import { type PieceEntry, type ShardResult, takeOutcome } from '../src/domain/piece.ts';
import { shardUsage } from '../src/domain/usage.ts';
import type { ClosedShard, CloseShardInput } from '../workflows/contract.ts';
import { type Heartbeat, startHeartbeat } from './heartbeat.ts';
import type { ControlMemory } from './control-memory.ts';
import type { ActivityDeps } from './deps.ts';
import { createFindCopied } from './find-copied.ts';
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
  const findCopied = createFindCopied(pieces);

  /** The one outcome of each line: completed before failed, then the lowest key, which comes first. */
  async function decide(batchId: string, plan: ShardPlan, heartbeat: Heartbeat): Promise<Map<number, PieceEntry>> {
    const wanted = new Set(plan.lines.filter(({ copyOf }) => copyOf === undefined).map(({ line }) => line));
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
    read: (entries: readonly PieceEntry[]) => AsyncIterable<Buffer[]>,
    unrun: Iterator<UnrunLine, void, undefined>,
  ): AsyncGenerator<Buffer[], void, undefined> {
    let next = unrun.next();
    let at = 0;
    for await (const lines of read(failed)) {
      for (const line of lines) {
        const failedLine = failed[at++]?.line ?? 0;
        for (; next.done !== true && next.value.line < failedLine; next = unrun.next()) yield [next.value.resultLine];
        yield [line];
      }
    }
    for (; next.done !== true; next = unrun.next()) yield [next.value.resultLine];
  }

  /** Result lines for what never ran. The plan has their custom_ids, so that a batch ends even if its input is gone. */
  function unrunLines(missing: readonly PlannedLine[], reason: NotRunReason): UnrunLine[] {
    return missing.map(({ line, customId }) => ({
      line,
      resultLine: notRunLine({ id: newResultLineId(randomHex(32)), customId, reason }),
    }));
  }

  /** The outcome of each line so far, those of copies included, and the lines without one. */
  async function readOutcomes(batchId: string, plan: ShardPlan, { heartbeat, isEnding }: { heartbeat: Heartbeat; isEnding: boolean }) {
    const decided = await decide(batchId, plan, heartbeat);
    const copied = await findCopied(batchId, plan, decided, { isEnding });
    const missing = plan.lines.filter(({ line }) => !decided.has(line) && !copied.has(line));
    return { decided, copied, missing };
  }

  /**
   * Reads result lines, and gives those of copies their own id and custom_id. Keeps the lengths of those, and why they failed
   * where they are copies of lines in closed shards, which do not say.
   */
  function copyReader(copied: ReadonlyMap<number, PieceEntry>, customIds: ReadonlyMap<number, string>) {
    const lengths = new Map<number, number>();
    const failures = new Map<number, Failure>();

    function toOwn(bytes: Buffer, { line, outcome, failure }: PieceEntry): Buffer {
      if (!copied.has(line)) return bytes;
      if (outcome === 'failed' && failure === undefined) failures.set(line, readFailure(bytes));
      const own = copiedLine(bytes, { id: newResultLineId(randomHex(32)), customId: customIds.get(line) ?? '' });
      lengths.set(line, own.length);
      return own;
    }

    async function* read(entries: readonly PieceEntry[]): AsyncGenerator<Buffer[], void, undefined> {
      const next = entries.values();
      for await (const lines of pieces.readResultLines(entries)) {
        yield lines.map((bytes) => {
          const { value: entry } = next.next();
          return entry === undefined ? bytes : toOwn(bytes, entry);
        });
      }
    }

    return { read, lengths, failures };
  }

  return async function closeShard(input: CloseShardInput): Promise<ClosedShard> {
    const { batchId, range } = input;
    const { shard, firstLine, lastLine } = range;
    const progress = { shard, lines: 0 };
    using heartbeat = startHeartbeat(() => progress);
    const standing = await pieces.getShardResult(batchId, shard);
    if (standing !== null) return await told(batchId, standing);

    const plan = await pieces.getPlanShard(batchId, shard);
    if (plan === null) throw new Error(`shard ${shard} has no plan`);
    using memory = await controlMemory.closing(heartbeat.signal);
    // What counts from now on has a piece that the reading below may miss.
    await batches.tallies.freeze(batchId, shard);
    let found = await readOutcomes(batchId, plan, { heartbeat, isEnding: false });
    const reason = found.missing.length === 0 ? null : await reasonNotToRun(input);
    if (found.missing.length > 0 && reason === null) {
      await batches.tallies.thaw(batchId, shard);
      // Lines that wait for the answer of an equal one in another shard are not sent: the shard is closed when that is answered.
      const unsent = found.missing.filter(({ copyOf }) => copyOf === undefined);
      return { closed: false, missing: lineRanges(unsent.map(({ line }) => line)) };
    }
    // If this process stood still in between, another one may have sent missing lines before the batch began to end.
    if (reason !== null) found = await readOutcomes(batchId, plan, { heartbeat, isEnding: true });
    const { decided, copied, missing } = found;

    const outcomes = new Map([...decided, ...copied]);
    const customIds = new Map(plan.lines.map(({ line, customId }) => [line, customId]));
    const { read, lengths, failures } = copyReader(copied, customIds);
    const inOrder = plan.lines.flatMap(({ line }) => outcomes.get(line) ?? []);
    const completed = inOrder.filter(({ outcome }) => outcome === 'completed');
    const failed = inOrder.filter(({ outcome }) => outcome === 'failed');
    await memory.fit(inOrder, heartbeat.signal);
    const nonce = randomHex(16);
    const watched = (lines: AsyncIterable<Buffer[]>) => countLines(lines, progress, heartbeat);
    const output = await pieces.putShardObject({ batchId, shard, nonce, role: 'output' }, watched(read(completed)));
    const unrun: UnrunLine[] = reason === null ? [] : unrunLines(missing, reason);
    const error = await pieces.putShardObject({ batchId, shard, nonce, role: 'error' }, watched(errorLines(failed, read, unrun.values())));
    for (const { line, resultLine } of unrun) lengths.set(line, resultLine.length);
    // Between the reading of the pieces and here another closer may have come to another result: the first one counts.
    const result = await pieces.createShardResult(batchId, {
      shard,
      firstLine,
      lastLine,
      completed: completed.length,
      failed: failed.length,
      notRun: missing.length,
      copied: copied.size,
      usage: completed.reduce((sum, { usage }) => (usage === null ? sum : addUsage(sum, usage)), zeroUsage()),
      models: shardUsage(plan.lines, decided),
      failures: groupsOf(failed, customIds, failures),
      output,
      error,
      lines: closedLines(plan, { outcomes, lengths }, reason),
    });
    return await told(batchId, result);
  };

  /** A later attempt repeats this, so the failures are told even if an attempt is cut off. */
  async function told(batchId: string, result: ShardResult): Promise<ClosedShard> {
    if (result.failures.length > 0) await batches.tallies.addClosed(batchId, result.shard, result.failures);
    return asClosed(result);
  }
}

function groupsOf(
  failed: readonly PieceEntry[],
  customIds: ReadonlyMap<number, string>,
  readFailures: ReadonlyMap<number, Failure>,
): FailureGroup[] {
  return groupFailures(
    failed.flatMap(({ line, failure = readFailures.get(line) }) =>
      failure === undefined ? [] : [{ failure, customId: customIds.get(line) ?? '' }],
    ),
  );
}

/** All lines of the shard that have an outcome now, in order. */
function closedLines(
  { lines }: ShardPlan,
  { outcomes, lengths }: { outcomes: ReadonlyMap<number, PieceEntry>; lengths: ReadonlyMap<number, number> },
  reason: NotRunReason | null,
): ClosedLine[] {
  return lines.map(({ line }) => {
    const notRun = { line, outcome: OUTCOME_OF[reason ?? 'batch_expired'], attempts: 0, milliseconds: null, usage: null };
    const known = { ...notRun, length: 0, ...outcomes.get(line) };
    return toClosedLine({ ...known, length: lengths.get(line) ?? known.length });
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

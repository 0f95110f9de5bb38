import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { Context } from '@temporalio/activity';
import { createInputChecker, readThroughChecker } from '../src/domain/check-input.ts';
import { deduplicates } from '../src/domain/deduplicate.ts';
import type { File } from '../src/domain/file.ts';
import { FIRST_MODEL_BYTES, readFirstModel } from '../src/domain/first-model.ts';
import { isFileId } from '../src/domain/ids.ts';
import { inputCrashedWorker, inputFileNotFound, inputFileTooLarge, inputTooSparse } from '../src/domain/input-errors.ts';
import { isJsonRecord } from '../src/domain/json-type.ts';
import { MAX_SHARDS } from '../src/domain/limits.ts';
import type { PlanHead } from '../src/domain/plan.ts';
import { shownText } from '../src/domain/shown-text.ts';
import type { PlannedUpstream, ValidatedInput, ValidateInputInput } from '../workflows/contract.ts';
import type { BatchesRunning } from './batches-running.ts';
import { type Heartbeat, startHeartbeat } from './heartbeat.ts';
import type { ControlMemory } from './control-memory.ts';
import type { ActivityDeps } from './deps.ts';
import type { HeavyWork } from './heavy-work.ts';
import { createSegmentWriter, readSegments, SEGMENT_SIZE } from './plan-segments.ts';
import { createPlanWriter } from './plan-writer.ts';
import { type AttemptRecord, readHistory } from './run-requests/attempt-history.ts';
import { NO_TRIES } from '../src/domain/retry.ts';

/** Losses of the worker after which the input is refused: it would take down one worker after the other. */
const MAX_LOSSES = 3;

/**
 * Checks every line of the input and writes the plan. A second run finds the head of the plan and uses it; one that runs
 * beside the first writes shards under names of its own, and of two heads the first stands for both.
 */
export function createValidateInput(
  deps: Pick<
    ActivityDeps,
    'files' | 'batches' | 'pieces' | 'routes' | 'modelLists' | 'limits' | 'upstreams' | 'workersOf' | 'randomHex' | 'segmentSize'
  > & {
    batchesRunning: BatchesRunning;
    controlMemory: ControlMemory;
    heavyWork: HeavyWork;
  },
) {
  const { files, batches, pieces, routes, modelLists, limits, upstreams, workersOf, randomHex, batchesRunning, controlMemory, heavyWork } =
    deps;
  const { segmentSize = SEGMENT_SIZE } = deps;

  /** Held while a line is checked that is not short. */
  async function longLine(mostBytes: number, signal: AbortSignal): Promise<Disposable> {
    const held = new DisposableStack();
    try {
      held.use(await controlMemory.longLine(mostBytes, signal));
      held.use(await heavyWork.begin());
      return held;
    } catch (error) {
      held.dispose();
      throw error;
    }
  }

  async function makeHead(input: ValidateInputInput, progress: ValidationProgress, heartbeat: Heartbeat): Promise<PlanHead> {
    const { tenant, batchId, endpoint, inputFileId } = input;
    // The id is a text of the client's, and some texts make a key that the bucket refuses for ever.
    const file = isFileId(inputFileId) ? await files.get(tenant, inputFileId) : null;
    if (file === null) return { verdict: 'refused', errors: [inputFileNotFound(inputFileId)] };
    if (file.bytes > limits.maxBatchInputBytes) {
      const start = await files.openContent(tenant, file.id, { start: 0, end: Math.min(file.bytes, FIRST_MODEL_BYTES) - 1 });
      const model = start === null ? null : await readFirstModel(start.body, endpoint);
      return { verdict: 'refused', errors: [inputFileTooLarge(limits.maxBatchInputBytes, model)] };
    }
    const from = progress.segment === null ? null : await readSegments(pieces, batchId, progress.segment);
    const place = from?.last.place ?? { line: 1, offset: 0 };
    const content = await openRest(input, file, place.offset);
    if (content === null) return { verdict: 'refused', errors: [inputFileNotFound(inputFileId)] };

    const checker = createInputChecker({
      endpoint,
      limits,
      routes,
      modelLists,
      digest: (bytes) => hash('sha256', bytes, 'buffer'),
      from: from === null ? null : { checked: from.last.checked, customIds: from.customIds, bodies: from.bodies },
      deduplicates: deduplicates((await batches.get(tenant, batchId))?.batch.metadata ?? null),
    });
    const nonce = randomHex(16);
    const writer = createPlanWriter(pieces, { batchId, nonce }, { from });
    const onSegment = (name: string) => void (progress.segment = name);
    const segments = createSegmentWriter({ pieces, batchId, nonce, checker, plan: writer, from, size: segmentSize, onSegment });
    try {
      const ended = await readThroughChecker({
        body: content.body,
        maxLineBytes: limits.maxLineBytes,
        checker,
        from: place,
        taken: segments.taken,
        plan(line) {
          progress.line = line.line;
          return writer.add(line);
        },
        step: heartbeat.step,
        longLine: async (offset) => await longLine(Math.min(limits.maxLineBytes, file.bytes - offset), heartbeat.signal),
      });
      if (ended === 'plan_full') return { verdict: 'refused', errors: [inputTooSparse(MAX_SHARDS)] };
    } finally {
      content.body.destroy();
    }
    const checked = checker.verdict();
    // The shards of a refused input stay behind; the sweep takes them with everything else under `work/`.
    if (checked.verdict === 'refused') return checked;
    await pieces.putCustomIds(batchId, checker.customIdIndex());
    return { ...checked, ...(await writer.end()) };
  }

  /** The bytes of the input from an offset on, which may be its end. */
  async function openRest(
    { tenant, inputFileId }: ValidateInputInput,
    { bytes }: File,
    offset: number,
  ): Promise<{ body: Readable } | null> {
    if (offset > 0 && offset >= bytes) return { body: Readable.from([]) };
    return await files.openContent(tenant, inputFileId, offset === 0 ? undefined : { start: offset, end: bytes - 1 });
  }

  /** What the workflow needs of the plan, and what earlier runs of the batch have closed of it. */
  async function report(batchId: string, head: PlanHead): Promise<ValidatedInput> {
    if (head.verdict === 'refused') return { verdict: 'refused' };
    const results = await pieces.listShardResults(batchId);
    const [first, ...others] = head.upstreams.map(planned);
    if (first === undefined) throw new Error('the plan of an accepted input names no upstream');
    const { name: upstream, ...sizing } = first;
    return {
      verdict: 'accepted',
      total: head.total,
      model: head.model === null ? null : shownText(head.model),
      shards: head.shards,
      upstream,
      ...sizing,
      ...(others.length > 0 ? { otherUpstreams: others } : {}),
      batchesRunning: batchesRunning.count,
      closed: results.map(({ shard }) => shard),
      completed: results.reduce((sum, { completed }) => sum + completed, 0),
      failed: results.reduce((sum, { failed }) => sum + failed, 0),
    };
  }

  function planned(name: string): PlannedUpstream {
    const upstream = upstreams.get(name);
    if ((upstream?.requestsPerMinute ?? null) !== null) return { name, linesPerActivity: 1 };
    return { name, ...(upstream === undefined ? {} : { capacity: upstream.limit * workersOf(name) }) };
  }

  return async function validateInput(input: ValidateInputInput): Promise<ValidatedInput> {
    const context = Context.current();
    const progress = progressOf(context.info);
    try {
      return await validate(input, progress);
    } catch (error) {
      // Beaten before the attempt ends, so that the next one knows that no worker was lost.
      context.heartbeat({ ...progress, ended: true });
      throw error;
    }
  };

  async function validate(input: ValidateInputInput, progress: ValidationProgress): Promise<ValidatedInput> {
    const { losses, line } = progress;
    using heartbeat = startHeartbeat(() => ({ ...progress }));
    // It begins to run here: of twenty that begin together none is the only one.
    using _running = batchesRunning.enter(input.batchId);
    const found = await pieces.getPlanHead(input.batchId);
    if (found !== null) return await report(input.batchId, found);
    if (input.isPlanned) return { verdict: 'plan_missing' };
    // It may be what took its worker down.
    using _heavy = losses > 0 ? await heavyWork.begin() : null;
    const made: PlanHead =
      losses < MAX_LOSSES ? await makeHead(input, progress, heartbeat) : { verdict: 'refused', errors: [inputCrashedWorker(losses, line)] };
    heartbeat.check();
    return await report(input.batchId, await pieces.createPlanHead(input.batchId, made));
  }
}

/** What validation writes into its heartbeats: the last line it took, for people, and for its next attempt the last segment and how the earlier ones ended. */
type ValidationProgress = AttemptRecord & { line: number; segment: string | null };

function progressOf({ attempt, heartbeatDetails }: { attempt: number; heartbeatDetails: unknown }): ValidationProgress {
  const { losses } = readHistory(heartbeatDetails, { attempt, tries: NO_TRIES });
  const line = isJsonRecord(heartbeatDetails) ? Number(heartbeatDetails['line']) || 0 : 0;
  const segment = isJsonRecord(heartbeatDetails) ? heartbeatDetails['segment'] : null;
  return {
    line,
    segment: typeof segment === 'string' ? segment : null,
    attempt,
    faults: 0,
    timeouts: 0,
    refusals: 0,
    server: null,
    sent: false,
    excused: true,
    ended: false,
    losses,
    losses_on_wire: 0,
  };
}

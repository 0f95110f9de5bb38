import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  continueAsNew,
  defineQuery,
  setHandler,
  sleep,
} from '@temporalio/workflow';
import { isTerminal, type TerminalStatus } from '../src/domain/batch.ts';
import { longActivities } from './activities.ts';
import { createResultAppender } from './append-results.ts';
import { type Admission, createAdmission, endOfWindow } from './admission.ts';
import { type BatchInput, type Progress, PROGRESS_QUERY, type SavedBatch, type ValidatedInput } from './contract.ts';
import { type Ending, watchForEnding } from './ending.ts';
import { createShardPool, type ShardPool } from './shard-pool.ts';
import { upstreamsOf } from './upstream-paces.ts';
import { type BatchDetails, showBatch } from './batch-details.ts';

type Plan = Extract<ValidatedInput, { verdict: 'accepted' }>;

const progressQuery = defineQuery<Progress | null>(PROGRESS_QUERY);
const ASK_AGAIN_MS = 1_000;

/**
 * The life of one batch. What the record says counts: every step goes on from the status that the last activity found, so
 * a batch may be started again at any point, and a cancel may arrive at any point.
 */
export async function batch(input: BatchInput): Promise<TerminalStatus> {
  const details = showBatch(input);
  const ending = watchForEnding(input, details.status);
  // Nobody can cancel the life itself: whoever cancels the workflow gets a batch that ends in order.
  const status = await CancellationScope.nonCancellable(() => runBatch(input, ending, details));
  await condition(allHandlersFinished);
  if (ending.native && status === 'cancelled') throw new CancelledFailure('The batch was cancelled; its results are published.');
  return status;
}

async function runBatch(input: BatchInput, ending: Ending, details: BatchDetails): Promise<TerminalStatus> {
  let pool: ShardPool | null = null;
  let admission: Admission | null = null;
  setHandler(progressQuery, () => pool && { ...pool.progress(), ...admission?.waiting });

  const found = await ending.save(null);
  if (isTerminal(found.status)) return found.status;

  const begun = found.started ? await resume(input, ending) : await begin(input, ending);
  if ('ended' in begun) return begun.ended;

  const { plan, resumed } = begun;
  const appender = createResultAppender(input, plan);
  pool = createShardPool(input, plan, { resumed, ending, onChange: tell, onClosed: appender.closed });
  admission = createAdmission(input, plan, pool, { ending, onChange: tell });
  function tell(): void {
    if (pool === null) return;
    admission?.update();
    const { model, total, shards } = plan;
    details.progress({
      model,
      upstreams: upstreamsOf(plan).map(({ name }) => name),
      total,
      shards: shards.length,
      openShards: pool.open,
      pace: pool.pace,
      ...pool.progress(),
      ...admission?.waiting,
    });
  }
  tell();

  void admission.follow();
  await pool.run(() => !ending.paused && admission?.isAdmitted === true);
  if (pool.left > 0 && ending.reason === null) {
    await appender.settle();
    await condition(allHandlersFinished);
    const { appended } = appender;
    // A cancel that arrives with this very step is in the record, where the next run finds it; a native one is heard here.
    const next = { ...input, ...endOfWindow(input, ending), appended };
    if (!ending.native) {
      // Without a pace, the next run waits to be admitted, and asks which lines of its shards have an outcome.
      await continueAsNew<typeof batch>(pool.isInterrupted ? { ...next, pace: null } : { ...next, pace: pool.pace, ...pool.otherPaces });
    }
    await ending.save('cancelling');
  }
  const left = admission.leave();
  if (pool.left > 0) await pool.closeRest();
  await appender.settle();
  if (pool.left > 0) {
    // The next run learns from the record how the batch ends, so a native cancel has to be there.
    if (ending.native) await ending.save('cancelling');
    await left;
    await condition(allHandlersFinished);
    await continueAsNew<typeof batch>({ ...input, pace: null, appended: appender.appended });
  }
  const status = await publish(input, ending, plan, pool);
  await left;
  return status;
}

/** A plan to work on, and whether its shards may have pieces; or the end that the batch has come to. */
type Begun = { plan: Plan; resumed: boolean } | { ended: TerminalStatus };

/** From `validating` to `in_progress`, or to an end without files. */
async function begin(input: BatchInput, ending: Ending): Promise<Begun> {
  const validated = await ending.orNull(() => longActivities(input.policy).validateInput({ ...asked(input), isPlanned: false }));
  if (validated !== null) {
    const saved = await ending.save(validated.verdict === 'refused' ? 'failed' : 'in_progress');
    if (isTerminal(saved.status)) return { ended: saved.status };
    if (saved.started && validated.verdict === 'accepted') return { plan: validated, resumed: false };
  }
  for (;;) {
    // If nothing of it ever ran, there is nothing to close and nothing to publish.
    const saved: SavedBatch = await ending.save(ending.reason);
    if (isTerminal(saved.status)) return { ended: saved.status };
    // A write of an earlier run arrived late: the batch had started after all.
    if (saved.started) return await resume(input, ending);
    await sleep(ASK_AGAIN_MS);
  }
}

/** A batch that was in progress before: its plan is there, and says which shards are closed. */
async function resume(input: BatchInput, ending: Ending): Promise<Begun> {
  const validated = await longActivities(input.policy).validateInput({ ...asked(input), isPlanned: true });
  // A run hands its pace on only when all shards that it opened are closed: those that are left have no pieces.
  if (validated.verdict === 'accepted') return { plan: validated, resumed: input.pace === null };
  if (validated.verdict === 'refused') {
    throw ApplicationFailure.nonRetryable('The batch is in progress, but its plan refuses the input.', 'PlanContradictsRecord');
  }
  // An earlier run may have published meanwhile, after which the sweep takes the plan. Otherwise a new plan would send every request again.
  const saved = await ending.save(null);
  if (isTerminal(saved.status)) return { ended: saved.status };
  throw ApplicationFailure.nonRetryable(
    `The batch is ${saved.status}, but its plan is gone from work/${input.batchId}/plan. Restore it from a backup of the bucket.`,
    'PlanMissing',
  );
}

/** From the last closed shard to the terminal record. */
async function publish(input: BatchInput, ending: Ending, plan: Plan, pool: ShardPool): Promise<TerminalStatus> {
  const { completed, failed } = pool.progress();
  const allAnswered = completed + failed === plan.total;
  let saved: SavedBatch | null = null;
  // Not all, and no reason yet: the worker that closed the last shard read record or clock before we heard of either.
  while (ending.reason !== 'cancelled' && allAnswered) {
    await condition(() => !ending.paused);
    saved = await ending.save('finalizing', { completed, failed });
    if (isTerminal(saved.status)) return saved.status;
    if (saved.status !== 'in_progress') break;
    // It was paused just now.
    await sleep(ASK_AGAIN_MS);
  }
  for (;;) {
    const to = ending.reason === 'cancelled' ? 'cancelled' : saved?.status === 'finalizing' ? 'completed' : 'expired';
    saved = await longActivities(input.policy).publishResults({ tenant: input.tenant, batchId: input.batchId, to });
    ending.see(saved);
    if (isTerminal(saved.status)) return saved.status;
    // A cancel came first; the results are published once more, as those of a cancelled batch.
    if (saved.status !== 'cancelling') await sleep(ASK_AGAIN_MS);
  }
}

function asked({ tenant, batchId, endpoint, inputFileId }: BatchInput) {
  return { tenant, batchId, endpoint, inputFileId };
}

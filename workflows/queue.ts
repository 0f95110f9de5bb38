import {
  allHandlersFinished,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  getExternalWorkflowHandle,
  setCurrentDetails,
  setHandler,
  setWorkflowOptions,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { type QueueListing, UpstreamQueue } from '../src/domain/upstream-queue.ts';
import { askToEnter, findEnded } from './activities.ts';
import {
  ENTER_SIGNAL,
  type EnterQueue,
  LEAVE_SIGNAL,
  type LeaveQueue,
  QUEUE_QUERY,
  QUEUE_SIGNAL,
  type QueueAnswer,
  type QueueInput,
} from './contract.ts';

const enterSignal = defineSignal<[EnterQueue]>(ENTER_SIGNAL);
const leaveSignal = defineSignal<[LeaveQueue]>(LEAVE_SIGNAL);
const answerSignal = defineSignal<[QueueAnswer]>(QUEUE_SIGNAL);
const queueQuery = defineQuery<QueueListing[]>(QUEUE_QUERY);

/** Signals to batches that are on their way. Temporal takes 2,000 of one workflow. */
const MOST_SENDING = 200;
/** How often the queue looks for admitted batches that have ended without a word, as terminated ones do. */
const CHECK_EVERY_MS = 10 * 60_000;
const CHECKED_AT_A_TIME = 1_000;
/** Batches become urgent at any time; so often at most the order is looked at for this alone. */
const LOOK_EVERY_MS = 60_000;
const LISTED = 1_000;

/** The queue in which batches wait for one upstream. It runs for ever, and continues as new with what it knows. */
export async function queue(input: QueueInput): Promise<void> {
  const run = new QueueRun(input);
  await run.untilLong();
  await condition(allHandlersFinished);
  await continueAsNew<typeof queue>(run.next());
}
// It never ends, so it must not stay with the version of the workers on which it began. Workers without versions have no deployment.
setWorkflowOptions(() => (workflowInfo().currentDeploymentVersion?.deploymentName ? { versioningBehavior: 'AUTO_UPGRADE' } : {}), queue);

/** One run of the queue, from its start to the moment at which its history is long. */
class QueueRun {
  readonly #upstream: string;
  readonly #batches: UpstreamQueue;
  readonly #longHistoryEvents: number;
  #askFrom: string | null;
  #checkAtMs: number;
  /** Signals and activities that are under way. */
  #pending = 0;
  #changes = 0;

  constructor({ upstream, state, askFrom, checkAtMs, longHistoryEvents }: QueueInput) {
    this.#upstream = upstream;
    this.#batches = new UpstreamQueue(state);
    this.#askFrom = askFrom;
    this.#checkAtMs = checkAtMs;
    this.#longHistoryEvents = longHistoryEvents;
    setHandler(enterSignal, (batch) => this.#enter(batch));
    setHandler(leaveSignal, ({ batchId, capacity }) => {
      if (capacity !== null) this.#batches.learn(capacity);
      this.#batches.leave(batchId);
      this.#changes += 1;
    });
    setHandler(queueQuery, () => this.#batches.list(LISTED));
  }

  async untilLong(): Promise<void> {
    void this.#askAll();
    void this.#keepTime();
    for (let seen = -1; !(this.#isLong() && this.#pending === 0);) {
      await condition(() => this.#changes !== seen);
      seen = this.#changes;
      if (this.#isLong()) continue;
      this.#batches.admit(Date.now());
      for (const { batchId, ...reply } of this.#batches.replies(MOST_SENDING - this.#pending)) {
        const { place } = reply;
        this.#answer(batchId, place === null ? { is: 'admitted' } : { is: 'waiting', place, of: reply.of });
      }
      this.#tell();
    }
  }

  next(): QueueInput {
    const [state, longHistoryEvents] = [this.#batches.state(), this.#longHistoryEvents];
    return { upstream: this.#upstream, state, askFrom: this.#askFrom, checkAtMs: this.#checkAtMs, longHistoryEvents };
  }

  #isLong(): boolean {
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    return historyLength > this.#longHistoryEvents || continueAsNewSuggested;
  }

  #enter({ tenant, model, weight, isAdmitted, capacity, ...batch }: EnterQueue): void {
    if (capacity !== null) this.#batches.learn(capacity);
    const taken = this.#batches.enter(batch, { tenant, model, weight, isAdmitted, nowMs: Date.now() });
    // Beyond that it hears nothing, and asks again just as well.
    if (!taken && this.#pending < 2 * MOST_SENDING) this.#answer(batch.batchId, { is: 'full' });
    this.#changes += 1;
  }

  #answer(batchId: string, answer: { is: 'admitted' | 'full' } | { is: 'waiting'; place: number; of: number }): void {
    void this.#whilePending(async () => {
      try {
        await getExternalWorkflowHandle(batchId).signal(answerSignal, { upstream: this.#upstream, ...answer });
      } catch {
        // It has ended. One that is started again enters again.
        this.#batches.leave(batchId);
      }
    });
  }

  /** A queue that begins knows of no batch: it asks all of them, page by page. */
  async #askAll(): Promise<void> {
    while (this.#askFrom !== null && !this.#isLong()) {
      const from = this.#askFrom;
      await this.#whilePending(async () => (this.#askFrom = await askToEnter({ upstream: this.#upstream, from })));
    }
  }

  /** Lets the order be looked at when batches become urgent, and admitted batches be checked now and then; rests while there are none. */
  async #keepTime(): Promise<void> {
    for (;;) {
      await condition(() => this.#batches.admitted > 0);
      const nowMs = Date.now();
      if (this.#checkAtMs === 0) this.#checkAtMs = nowMs + CHECK_EVERY_MS;
      const lookAtMs = Math.max(this.#batches.nextUrgentMs, nowMs + LOOK_EVERY_MS);
      await sleep(Math.max(1, Math.min(this.#checkAtMs, lookAtMs) - nowMs));
      if (this.#isLong()) return;
      if (Date.now() >= this.#checkAtMs) await this.#check();
      this.#changes += 1;
    }
  }

  async #check(): Promise<void> {
    const ids = this.#batches.admittedIds;
    for (let from = 0; from < ids.length && !this.#isLong(); from += CHECKED_AT_A_TIME) {
      const batchIds = ids.slice(from, from + CHECKED_AT_A_TIME);
      await this.#whilePending(async () => {
        for (const batchId of await findEnded({ batchIds })) this.#batches.leave(batchId);
      });
    }
    this.#checkAtMs = Date.now() + CHECK_EVERY_MS;
  }

  async #whilePending(act: () => Promise<unknown>): Promise<void> {
    this.#pending += 1;
    try {
      await act();
    } finally {
      this.#pending -= 1;
      this.#changes += 1;
    }
  }

  #tell(): void {
    const { admitted, waiting, capacity } = this.#batches;
    const rows = [
      `**upstream ${this.#upstream}**`,
      `- ${inWords(admitted)} admitted, ${inWords(waiting)} waiting`,
      `- capacity: ${inWords(capacity)} requests in flight, over all workers`,
      `- the query \`${QUEUE_QUERY}\` lists the batches`,
    ];
    setCurrentDetails(rows.join('\n'));
  }
}

function inWords(batches: number): string {
  return batches.toLocaleString('en');
}

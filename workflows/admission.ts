import {
  CancellationScope,
  condition,
  defineSignal,
  type ExternalWorkflowHandle,
  getExternalWorkflowHandle,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { DEFAULT_PRIORITY } from '../src/domain/priority.ts';
import {
  type BatchInput,
  ENTER_SIGNAL,
  type EnterQueue,
  LEAVE_SIGNAL,
  type LeaveQueue,
  type Progress,
  QUEUE_SIGNAL,
  type QueueAnswer,
  type QueuePlace,
  queueWorkflowId,
  type ValidatedInput,
} from './contract.ts';
import type { Ending } from './ending.ts';
import type { ShardPool } from './shard-pool.ts';
import { upstreamsOf } from './upstream-paces.ts';
import { backoffMs } from '../src/domain/backoff.ts';

type Plan = Extract<ValidatedInput, { verdict: 'accepted' }>;

const answerSignal = defineSignal<[QueueAnswer]>(QUEUE_SIGNAL);
const enterSignal = defineSignal<[EnterQueue]>(ENTER_SIGNAL);
const leaveSignal = defineSignal<[LeaveQueue]>(LEAVE_SIGNAL);

/** A batch that finds no queue enters again after 1 s, 2 s, 4 s … A worker starts a queue that is not there within a minute. */
const [FIRST_RETRY_MS, LAST_RETRY_MS] = [1_000, 5 * 60_000];
/** A batch that waits says so again, in case that a queue was lost in the moment in which it answered. */
const REMIND_MS = 3_600_000;
/** For how long a batch that has handed out its last line still counts: so many times the mean answer, or until the answers come if none has come yet. */
const MEAN_ANSWERS = 4;
const [LEAST_HOLD_MS, MOST_HOLD_MS] = [1_000, 30 * 60_000];

/** Whether the batch may hand out lines. */
export interface Admission {
  /** Enters the queues, leaves them while the batch is paused, and enters them again; until the batch ends. */
  follow(): Promise<void>;
  /** Whether a queue of one of its upstreams has admitted the batch, or it has handed out its last lines. */
  readonly isAdmitted: boolean;
  /** Where the batch waits; nothing once it is admitted. */
  readonly waiting: Pick<Progress, 'waiting'>;
  /** Tells the queues what they should know: that a capacity has doubled or halved, or that the last lines are handed out. */
  update(): void;
  /** Leaves the queues; resolves when they have heard it. */
  leave(): Promise<void>;
}

interface Seat {
  upstream: string;
  place: QueuePlace;
  /** Answers of the queue, and those that ask for another entry. */
  answers: number;
  calls: number;
  capacityTold: number | null;
  /** The last signal to the queue. The next one waits for it, because Temporal does not promise to deliver two in order. */
  said: Promise<unknown>;
}

/**
 * Waits in the queues of the upstreams of a batch, and starts with the first that admits it. It waits by signals alone: a batch
 * that waits has no activity and no child. A run that continued as new, and so has a pace, is admitted already. A paused batch is in no
 * queue.
 */
export function createAdmission(
  input: BatchInput,
  plan: Plan,
  pool: ShardPool,
  { ending, onChange }: { ending: Ending; onChange: () => void },
): Admission {
  const upstreams = upstreamsOf(plan);
  const seats = upstreams.map(({ name }): Seat => {
    return {
      upstream: name,
      place: { upstream: name, place: null, of: null },
      answers: 0,
      calls: 0,
      capacityTold: null,
      said: Promise.resolve(),
    };
  });
  const { tenant, batchId } = input;
  /** `drained`: it has left, because its last lines are handed out. */
  let state: 'waiting' | 'admitted' | 'drained' | 'paused' | 'left' = input.pace === null ? 'waiting' : 'admitted';
  let isDraining = false;
  const isEnding = (): boolean => state === 'left' || ending.reason !== null;
  const isInQueue = (): boolean => state === 'waiting' || state === 'admitted';
  const isWaiting = (): boolean => state === 'waiting' && !ending.paused && ending.reason === null;

  function capacityOf(name: string): number | null {
    const index = upstreams.findIndex((upstream) => upstream.name === name);
    const { limit, workers = 1 } = (index === 0 ? pool.pace : pool.otherPaces.otherPaces?.[name]) ?? {};
    return limit === undefined ? (upstreams[index]?.capacity ?? null) : limit * workers;
  }

  setHandler(answerSignal, (answer) => {
    const seat = seats.find(({ upstream }) => upstream === answer.upstream);
    if (seat === undefined || !isInQueue()) return;
    if (answer.is === 'admitted' && state === 'waiting') {
      state = 'admitted';
      // The others count it from now on, too.
      for (const other of seats) if (other !== seat) void enter(other);
    }
    if (answer.is === 'new') {
      seat.calls += 1;
      if (state === 'admitted') void enter(seat);
    } else if (answer.is !== 'full') seat.answers += 1;
    if (answer.is === 'waiting') seat.place = { upstream: seat.upstream, place: answer.place, of: answer.of };
    onChange();
  });

  /** Signals the queue. False if it is not there now, or has had all the signals that one run takes. */
  async function say(seat: Seat, signal: (queue: ExternalWorkflowHandle) => Promise<void>): Promise<boolean> {
    // Handlers of signals run where a cancellation of the workflow itself would end what they began.
    return await CancellationScope.nonCancellable(async () => {
      const said = seat.said.then(async () => await signal(getExternalWorkflowHandle(queueWorkflowId(seat.upstream))));
      const isDelivered = said.then(
        () => true,
        () => false,
      );
      seat.said = isDelivered;
      return await isDelivered;
    });
  }

  async function enter(seat: Seat): Promise<boolean> {
    seat.capacityTold = capacityOf(seat.upstream);
    return await say(seat, async (queue) => {
      if (!isInQueue()) return;
      const { priorityKey, fairnessWeight } = workflowInfo().priority ?? {};
      const { completed, failed } = pool.progress();
      await queue.signal(enterSignal, {
        ...{ batchId, tenant, model: plan.model, ...endOfWindow(input, ending) },
        weight: fairnessWeight || 1,
        priority: priorityKey || DEFAULT_PRIORITY,
        lines: Math.max(1, plan.total - completed - failed),
        isAdmitted: state === 'admitted',
        capacity: capacityOf(seat.upstream),
      });
    });
  }

  async function keepPlace(seat: Seat): Promise<void> {
    for (let tries = 0; isWaiting(); tries++) {
      const { answers, calls } = seat;
      // A queue that has the signal answers, however much it has to do: to ask again would make that more.
      const waitMs = (await enter(seat)) ? LAST_RETRY_MS : retryMs(tries);
      await condition(() => seat.answers > answers || seat.calls > calls || !isWaiting(), waitMs);
      if (seat.answers === answers) continue;
      tries = -1;
      await condition(() => seat.calls > calls || !isWaiting(), REMIND_MS);
    }
  }

  /** Says to the queues that the batch is not in them any more. */
  async function quit(as: 'drained' | 'paused' | 'left'): Promise<void> {
    state = as;
    await Promise.all(
      seats.map(async (seat) => {
        await say(seat, async (queue) => await queue.signal(leaveSignal, { batchId, capacity: capacityOf(seat.upstream) }));
      }),
    );
  }

  async function drain(): Promise<void> {
    const meanMs = pool.pace.meanUpstreamMs;
    const holdMs = meanMs === null ? MOST_HOLD_MS : Math.max(LEAST_HOLD_MS, Math.min(MOST_HOLD_MS, MEAN_ANSWERS * meanMs));
    await condition(() => state !== 'admitted', Math.ceil(holdMs));
    isDraining = false;
    if (state === 'admitted' && pool.isDrained) await quit('drained');
  }

  async function follow(): Promise<void> {
    while (!isEnding()) {
      if (ending.paused) {
        await quit('paused');
        onChange();
        await condition(() => !ending.paused || isEnding());
        if (isEnding()) return;
        state = 'waiting';
      }
      if (isWaiting()) await Promise.all(seats.map(keepPlace));
      onChange();
      await condition(() => ending.paused || isEnding());
    }
  }

  return {
    follow,
    get isAdmitted() {
      return state === 'admitted' || state === 'drained';
    },
    get waiting() {
      return isWaiting() ? { waiting: seats.map(({ place }) => place) } : {};
    },
    update() {
      if (state !== 'admitted') return;
      for (const seat of seats) {
        const capacity = capacityOf(seat.upstream);
        const told = seat.capacityTold ?? 0;
        if (capacity !== null && (capacity >= 2 * told || capacity <= told / 2)) void enter(seat);
      }
      if (!pool.isDrained || isDraining) return;
      isDraining = true;
      void CancellationScope.nonCancellable(drain);
    },
    async leave() {
      if (state !== 'left') await quit('left');
    },
  };
}

/** The end of the window, which a pause may have moved, and when the batch becomes urgent. */
export function endOfWindow(
  input: Pick<BatchInput, 'expiresAtMs' | 'urgentFromMs'>,
  { expiresAtMs }: Pick<Ending, 'expiresAtMs'>,
): Pick<BatchInput, 'expiresAtMs' | 'urgentFromMs'> {
  return { expiresAtMs, urgentFromMs: input.urgentFromMs + expiresAtMs - input.expiresAtMs };
}

function retryMs(tries: number): number {
  return backoffMs(tries, FIRST_RETRY_MS, LAST_RETRY_MS);
}

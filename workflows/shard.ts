import { CancellationScope, condition, defineSignal, getExternalWorkflowHandle, setHandler } from '@temporalio/workflow';
import { longActivities, readShard } from './activities.ts';
import { PAUSE_SIGNAL, SHARD_DRAINED_SIGNAL, type ShardDrained, type ShardEnd, type ShardInput, type StoredLines } from './contract.ts';
import { createHandOut, type HandOut } from './hand-out.ts';
import { createMixedHandOut, type MixedHandOut } from './mixed-hand-out.ts';
import { showShard } from './batch-details.ts';
import { backoffMs } from '../src/domain/backoff.ts';

const pauseSignal = defineSignal(PAUSE_SIGNAL);
const NOTHING_STORED: StoredLines = { completed: [], failed: [] };

/**
 * The life of one shard: hands out its lines until each has an outcome, then closes it. The batch stops it by cancelling
 * it; then it closes with what it has, and whether that is enough is for `closeShard` to say, which reads the record. A paused batch
 * signals it: then it ends without being closed, once the requests in flight have ended.
 */
export async function shard(input: ShardInput): Promise<ShardEnd> {
  const onChange = (): void => showShard(input, handOut, 'handing out');
  const mixed =
    input.mixed === undefined
      ? null
      : createMixedHandOut(input, input.mixed, { onDrained: (upstream) => void tellDrained(upstream), onChange });
  const handOut: HandOut = mixed ?? createHandOut(input, { onDrained: () => void tellDrained(), onChange });
  CancellationScope.current().cancelRequested.catch(() => handOut.stop());
  const pause = { isPaused: false };
  setHandler(pauseSignal, () => {
    pause.isPaused = true;
    handOut.stop();
  });

  // The batch may be gone or may have ended; then nobody needs to know.
  async function tellDrained(upstream?: string): Promise<void> {
    const { shard } = input.range;
    const { pace } = handOut;
    const drained: ShardDrained = upstream === undefined ? { shard, pace } : { shard, pace: mixed?.paces[upstream] ?? pace, upstream };
    await getExternalWorkflowHandle(input.batchId)
      .signal(SHARD_DRAINED_SIGNAL, drained)
      .catch(() => undefined);
  }

  // A cancel stops the hand-out and nothing else.
  return await CancellationScope.nonCancellable(() => runShard(input, handOut, { mixed, pause }));
}

async function runShard(
  input: ShardInput,
  handOut: HandOut,
  { mixed, pause }: { mixed: MixedHandOut | null; pause: { isPaused: boolean } },
): Promise<ShardEnd> {
  const { tenant, batchId, range } = input;
  const { shard } = range;
  const paces = () => (mixed === null ? {} : { paces: mixed.paces });
  // Before the first line goes out: what an earlier run has stored is not sent again.
  const stored = input.resumed ? await longActivities(input.policy).listStored({ tenant, batchId, shard }) : NOTHING_STORED;
  handOut.begin({ stored, lines: mixed === null ? [] : await readShard({ batchId, shard }) });
  for (let closings = 1; ; closings++) {
    await handOut.run();
    const { pace, completed, failed } = handOut;
    if (pause.isPaused) return { shard, closed: false, completed, failed, pace, ...paces() };
    showShard(input, handOut, 'closing');
    const closed = await longActivities(input.policy).closeShard({ tenant, batchId, range });
    if (closed.closed) return { shard, closed: true, completed: closed.completed, failed: closed.failed, pace, ...paces() };
    if (handOut.over) return { shard, closed: false, completed, failed, pace, ...paces() };
    // Believed covered, but no piece says so: sent again, with less haste each time.
    if (closings > 1) await condition(() => handOut.over, backoffMs(closings, 1_000, 60_000));
    handOut.putBack(closed.missing);
  }
}

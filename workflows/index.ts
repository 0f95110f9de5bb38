/**
 * What runs inside Temporal's sandbox: the life of a batch, of a shard, the queue of an upstream, and the sweeps. Workflows decide and wait; every side
 * effect is an activity. They reach `src/domain` and nothing else, so that a replay always finds the same decisions.
 */
export { batch } from './batch.ts';
export { queue } from './queue.ts';
export { shard } from './shard.ts';
export { clean, revive } from './sweep.ts';
export { webhook } from './webhook.ts';

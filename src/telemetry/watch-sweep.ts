import type { Activities } from '../../activities/index.ts';
import type { Metrics } from './metrics.ts';

/** The same activities, with what sweeps do counted: without them batches stay forgotten, and the bucket grows. */
export function watchSweep(activities: Activities, metrics: Pick<Metrics, 'swept'>): Activities {
  return {
    ...activities,
    async reviveBatches() {
      try {
        const result = await activities.reviveBatches();
        metrics.swept('revive', result.failed + result.left === 0 ? 'ok' : 'failed', result);
        return result;
      } catch (error) {
        metrics.swept('revive', 'failed', {});
        throw error;
      }
    },
    async cleanBucket(input) {
      try {
        const result = await activities.cleanBucket(input);
        const { removed } = result;
        metrics.swept('clean', result.failed.length === 0 ? 'ok' : 'failed', { removed });
        return result;
      } catch (error) {
        metrics.swept('clean', 'failed', {});
        throw error;
      }
    },
  };
}

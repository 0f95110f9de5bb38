import type { Activities } from '../../activities/index.ts';
import type { Metrics } from './metrics.ts';

const NOTHING = { started: 0, signalled: 0, removed: 0 };

/** The same activities, with what sweeps do counted: a house that is not swept forgets batches. */
export function watchSweep(activities: Activities, metrics: Pick<Metrics, 'swept'>): Activities {
  return {
    ...activities,
    async sweep() {
      try {
        const result = await activities.sweep();
        metrics.swept('ok', result);
        return result;
      } catch (error) {
        metrics.swept('failed', NOTHING);
        throw error;
      }
    },
  };
}

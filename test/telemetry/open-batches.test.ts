import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMetrics } from '../../src/telemetry/metrics.ts';

describe('nightshift_open_batches', () => {
  it('has a zero for each status of which the sweep found no batch, and nothing before the first sweep', async () => {
    const metrics = createMetrics({ nowMs: () => 0, withProcess: false, operations: { bucket: [], temporal: [] } });
    const samples = async () => (await metrics.text()).split('\n').filter((line) => line.startsWith('nightshift_open_batches{'));
    assert.deepEqual(await samples(), []);
    metrics.batchesFoundOpen({ byStatus: new Map([['in_progress', 2]]), oldestAgeSeconds: 1 });
    assert.deepEqual((await samples()).sort(), [
      'nightshift_open_batches{status="cancelling"} 0',
      'nightshift_open_batches{status="finalizing"} 0',
      'nightshift_open_batches{status="in_progress"} 2',
      'nightshift_open_batches{status="new"} 0',
      'nightshift_open_batches{status="unread"} 0',
      'nightshift_open_batches{status="validating"} 0',
    ]);
  });
});

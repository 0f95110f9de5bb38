import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { heartbeatThrottleMs, heartbeatTiming } from '../../activities/heartbeat-timing.ts';

describe('heartbeatTiming', () => {
  it('beats first after 8 s and then every 5 s for the default timeout of 30 s', () => {
    assert.deepEqual(heartbeatTiming(), { firstMs: 8_000, everyMs: 5_000, pausedMs: 20_000 });
    assert.deepEqual(heartbeatTiming(30_000), heartbeatTiming());
    assert.equal(heartbeatThrottleMs(30_000), 10_000);
  });

  it('leaves half of every timeout for a heartbeat that is late', () => {
    for (const timeoutMs of [5_000, 8_000, 30_000, 120_000, 600_000]) {
      const { firstMs, everyMs, pausedMs } = heartbeatTiming(timeoutMs);
      assert.ok(firstMs <= timeoutMs / 2, `first after ${firstMs} ms of ${timeoutMs}`);
      assert.ok(heartbeatThrottleMs(timeoutMs) + everyMs <= timeoutMs / 2, `every ${everyMs} ms of ${timeoutMs}`);
      assert.ok(pausedMs < timeoutMs);
    }
  });

  it('does not delay heartbeats beyond the defaults, because cancels arrive with their replies', () => {
    assert.deepEqual([heartbeatTiming(600_000).firstMs, heartbeatTiming(600_000).everyMs], [8_000, 5_000]);
    assert.equal(heartbeatThrottleMs(600_000), 10_000);
  });
});

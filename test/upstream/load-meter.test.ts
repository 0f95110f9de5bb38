import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startExampleUpstream } from '../../examples/upstream.ts';
import { createLoadMeter } from '../../examples/upstream/load.ts';

describe('the load of the example upstream', () => {
  it('sums what was in flight from the first arrival to the last', () => {
    let nowMs = 1000;
    const meter = createLoadMeter(() => nowMs);
    const at = (ms: number, call: () => void) => ((nowMs = ms), call());
    at(1100, () => meter.arrived(50));
    at(1110, () => meter.arrived(70));
    at(1150, () => meter.ended());
    at(1160, () => meter.arrived(30));
    at(1500, () => meter.ended());
    at(1600, () => meter.ended());
    assert.deepEqual(meter.read(), {
      arrived: 3,
      ended: 3,
      firstArrivalMs: 1100,
      lastArrivalMs: 1160,
      lastEndMs: 1600,
      inFlightMs: 10 + 2 * 40 + 10,
      endedByLastArrival: 1,
      drawnMs: 150,
    });
  });

  it('begins anew after a reset, and still knows who is there', () => {
    let nowMs = 0;
    const meter = createLoadMeter(() => nowMs);
    meter.arrived(5);
    nowMs = 10;
    meter.reset();
    nowMs = 30;
    meter.arrived(5);
    assert.deepEqual([meter.read().arrived, meter.read().inFlightMs], [1, 20]);
  });

  it('is told over HTTP, requests that queue and such that fail included', async () => {
    const upstream = await startExampleUpstream({ capacity: 1, latency: 20 });
    try {
      const send = async (user?: string) =>
        await (await fetch(`${upstream.url}/v1/completions`, { method: 'POST', body: JSON.stringify({ prompt: 'a', user }) })).text();
      await Promise.all([send(), send(), send('status=500; delay=0')]);
      const load = Object(await (await fetch(`${upstream.url}/__load`)).json());
      assert.deepEqual([load.arrived, load.drawnMs], [3, 40]);
      assert.ok(load.lastArrivalMs >= load.firstArrivalMs && load.lastEndMs >= load.lastArrivalMs, JSON.stringify(load));
    } finally {
      await upstream.close();
    }
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSuspects } from '../../activities/run-requests/suspects.ts';

const never = new AbortController().signal;

describe('createSuspects', () => {
  it('keeps no suspects of an upstream waiting for those of another that is away', async () => {
    const suspects = createSuspects();
    await suspects.turn('away', 4, never);
    (await suspects.turn('present', 4, never))[Symbol.dispose]();
  });

  it('never has a suspect that must go alone on the wire beside another, whatever their upstreams', async () => {
    const suspects = createSuspects();
    let onWire = 0;
    await Promise.all(
      Array.from({ length: 5 }, async () => {
        using _company = await suspects.join(3, never);
        onWire += 1;
        assert.equal(onWire, 1);
        await new Promise(setImmediate);
        onWire -= 1;
      }),
    );
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createPaces } from '../../src/processes/paces.ts';

describe('createPaces', () => {
  it('measures the time of answers of each upstream, also where a request fails', async () => {
    let nowMs = 1000;
    const paces = createPaces({ monotonicMs: () => nowMs });
    const watch = paces.around({
      sending: async (_upstream, request, send) => await send(request),
      waited: () => undefined,
      gateChanged: () => undefined,
    });
    const send = async (upstream: string, kind: 'answered' | 'away', ms: number) => {
      await watch.sending(upstream, {} as never, async () => {
        nowMs += ms;
        return await Promise.resolve({ attempt: { kind }, ms } as never);
      });
    };
    assert.equal(paces.meanMs('a'), null);
    await send('a', 'answered', 100);
    await send('a', 'answered', 300);
    assert.ok(Math.abs((paces.meanMs('a') ?? 0) - 200) < 2, String(paces.meanMs('a')));
    await send('b', 'away', 50);
    assert.equal(paces.meanMs('b'), null);
    await assert.rejects(
      watch.sending('b', {} as never, async () => await Promise.reject(new Error('x'))),
      /x/,
    );
    await send('b', 'answered', 0);
    assert.ok((paces.meanMs('b') ?? 0) >= 1);
  });
});

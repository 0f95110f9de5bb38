import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../helpers/servers.ts';
import { startStack } from '../helpers/stack.ts';
import { type FaultProxy, startFaultProxy } from '../storage/fault-proxy.ts';
import { assertSurvivesStall, largeOutput, startLargeUpstream } from './large-output.ts';
import { REDUCED } from './reduced.ts';

const { largeAnswers, stallSeconds } = REDUCED.download.slow;

describe('I. Download, as large and as slow as the contract says', () => {
  it('the whole of case 105: an output of 1 GiB, and a client that stalls 60 s', { timeout: 1_200_000 }, async () => {
    const port = await freePort();
    const upstream = await startLargeUpstream(port);
    let proxy: FaultProxy | undefined;
    try {
      await using stack = await startStack({
        env: { NIGHTSHIFT_UPSTREAM_URL: `http://127.0.0.1:${port}/v1` },
        bucketAt: async (endpoint) => (proxy = await startFaultProxy(endpoint)).endpoint,
      });
      const id = await largeOutput(stack, largeAnswers, 600);
      const begun = proxy?.seen.length ?? 0;
      await assertSurvivesStall(stack, id, largeAnswers, stallSeconds * 1000);
      const reads = proxy?.seen.slice(begun).filter((request) => request.startsWith('GET ') && request.includes(`/content/tenant-a/${id}`));
      // One of them is the download that does not stall.
      assert.ok((reads?.length ?? 0) > 2, 'the bucket hung up on the client that stalled');
    } finally {
      await proxy?.[Symbol.asyncDispose]();
      upstream.close();
      upstream.closeAllConnections();
    }
  });
});

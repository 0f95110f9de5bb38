import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ended, resultLines, submit } from '../helpers/lines.ts';
import { POISON, startPoisonedStack } from './poison.ts';

describe('a request that its worker dies of', () => {
  // The whole story, with all its deaths, is in poison.slow.ts.
  it(
    'is parted from the other lines of its slice after two deaths, and they are sent no more often than it',
    { timeout: 360_000 },
    async () => {
      await using poisoned = await startPoisonedStack({ deadly: 2 });
      const { stack, ids, text } = poisoned;
      const client = stack.client();
      const created = await submit(client, text);
      const batch = await ended(client, created.id, 300);
      assert.equal(poisoned.deaths, 2);
      assert.deepEqual(batch.request_counts, { total: ids.length, completed: ids.length, failed: 0 });
      const output = await resultLines(client, batch.output_file_id);
      assert.deepEqual(
        output.map((line) => line.custom_id),
        ids,
      );
      const calls = await stack.upstream.calls();
      assert.equal(calls[POISON], 1);
      // Each death may repeat what was in flight, or answered in the second before, in any slice of that worker.
      assert.deepEqual(
        ids.filter((id) => (calls[id] ?? 0) > 3),
        [],
      );
    },
  );
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { ended, resultLines, submit } from '../helpers/lines.ts';
import { POISON, startPoisonedStack } from './poison.ts';

describe('a request that kills its worker', () => {
  // poison.slow.ts runs it to its end.
  it('leaves its slice after two deaths, and every line of that slice is sent on its own', { timeout: 360_000 }, async () => {
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
    // Each death may repeat a request that was in flight, or answered in the second before, in any slice of that worker.
    assert.deepEqual(
      ids.filter((id) => (calls[id] ?? 0) > 3),
      [],
    );

    const [first, second, ...alone] = await slicesOf(stack.temporal.address, created.id);
    assert.deepEqual([first, second], ['lines 1–10', 'lines 11–20']);
    const poisonLine = `line ${ids.indexOf(POISON) + 1}`;
    assert.ok(alone.includes(poisonLine), `no slice holds ${poisonLine} alone: ${alone.join(', ')}`);
    assert.deepEqual(
      alone.filter((slice) => !/^line \d+$/.test(slice)),
      [],
      'slices of more than one line after the deaths',
    );
  });
});

/** Summaries of the `runRequests` activities of a batch's first shard, in the order in which the shard scheduled them. */
async function slicesOf(address: string, batchId: string): Promise<string[]> {
  const connection = await Connection.connect({ address });
  try {
    const { events } = await new Client({ connection }).workflow.getHandle(`${batchId}/shard-0000`).fetchHistory();
    return (events ?? []).flatMap(({ activityTaskScheduledEventAttributes, userMetadata }) => {
      const summary = userMetadata?.summary;
      if (activityTaskScheduledEventAttributes?.activityType?.name !== 'runRequests' || !summary) return [];
      return [defaultPayloadConverter.fromPayload<string>(summary)];
    });
  } finally {
    await connection.close();
  }
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ended, resultLines, submit } from '../helpers/lines.ts';
import { POISON, startPoisonedStack } from './poison.ts';

const MINUTE_S = 60;

describe('a request that its worker dies of every time', () => {
  it('ends as request_crashed_worker, and every other line of its batch has its answer', { timeout: 25 * MINUTE_S * 1000 }, async (t) => {
    const startedMs = performance.now();
    await using poisoned = await startPoisonedStack({ deadly: Infinity });
    const { stack, ids, text } = poisoned;
    const client = stack.client();
    const created = await submit(client, text);
    const batch = await ended(client, created.id, 20 * MINUTE_S);
    t.diagnostic(`${poisoned.deaths} deaths in ${Math.round((performance.now() - startedMs) / 1000)} s`);

    assert.equal(batch.status, 'completed');
    assert.deepEqual(batch.request_counts, { total: ids.length, completed: ids.length - 1, failed: 1 });
    const [output, errors] = [await resultLines(client, batch.output_file_id), await resultLines(client, batch.error_file_id)];
    assert.deepEqual(
      output.map((line) => line.custom_id),
      ids.filter((id) => id !== POISON),
    );
    assert.deepEqual(
      errors.map((line) => [line.custom_id, line.error?.code, line.response]),
      [[POISON, 'request_crashed_worker', null]],
    );
    // Two in company, two before it is a suspect, five on the wire.
    assert.ok(poisoned.deaths >= 5 && poisoned.deaths <= 9, `${poisoned.deaths} deaths`);
    const calls = await stack.upstream.calls();
    assert.ok(Object.values(calls).every((times) => times <= poisoned.deaths));
  });
});

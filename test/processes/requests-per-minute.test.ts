import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chatLines, ended, resultLines, submit } from '../helpers/lines.ts';
import { startStack } from '../helpers/stack.ts';

describe('NIGHTSHIFT_UPSTREAM_REQUESTS_PER_MINUTE', () => {
  it('holds for three workers together', async () => {
    const [perSecond, lines] = [10, 100];
    await using stack = await startStack({ env: { NIGHTSHIFT_UPSTREAM_REQUESTS_PER_MINUTE: String(perSecond * 60) } });
    await stack.startWorker();
    await stack.startWorker();
    const client = stack.client();
    const begun = performance.now();
    const created = await submit(client, chatLines(lines));
    const batch = await ended(client, created.id);
    const seconds = (performance.now() - begun) / 1000;
    assert.equal((await resultLines(client, batch.output_file_id)).length, lines);
    // A second's worth may come at once in the beginning.
    assert.ok(seconds > lines / perSecond - 1.5, `${lines} lines in ${seconds} s at ${perSecond} per second`);
  });
});

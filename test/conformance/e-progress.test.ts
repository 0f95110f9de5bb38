import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type OpenAI from 'openai';
import { chatLine, chatLines, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { accountFor, names, watch } from './story.ts';

const REPETITIONS = 100;
const AT_A_TIME = 10;

describe('E. Execution and results: what a client sees on the way', () => {
  let stack: Stack;
  let client: OpenAI;
  before(async () => {
    stack = await startStack();
    client = stack.client();
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('case 79: counts never step back and never exceed the total, which does not change', async () => {
    const ids = names('line-', 100);
    // Over eight seconds, in which counts that are at most two seconds old have to move; every tenth line fails.
    const lines = ids.map((id, index) => chatLine(id, `delay=${index * 80}${index % 10 === 0 ? '; status=400' : ''}`));
    const created = await submit(client, lines.join('\n'));
    const seen = [created, ...(await watch(client, created.id, { everyMs: 50 }))];
    const growing = new Set<number>();
    for (const [index, batch] of seen.entries()) {
      const { total, completed, failed } = batch.request_counts ?? { total: -1, completed: 0, failed: 0 };
      const before = seen[index - 1]?.request_counts ?? { total: 0, completed: 0, failed: 0 };
      assert.ok(completed >= before.completed && failed >= before.failed && total >= before.total);
      assert.ok(completed + failed <= total);
      if (batch.in_progress_at !== null) assert.equal(total, 100, batch.status);
      growing.add(completed);
    }
    assert.ok(growing.size >= 3, `completed was only seen at ${[...growing].join(', ')}`);
    await accountFor(client, seen.at(-1) ?? created, ids);
  });

  it('case 80: whoever sees completed can read the whole file at once', { timeout: 500_000 }, async () => {
    const once = async () => {
      const { id } = await submit(client, chatLines(3));
      const seen = await watch(client, id, { everyMs: 20 });
      const answer = await client.files.content(String(seen.at(-1)?.output_file_id));
      const lines = (await answer.text()).split('\n');
      assert.deepEqual(
        lines.slice(0, -1).map((line) => JSON.parse(line).custom_id),
        names('line-', 3),
      );
      assert.equal(seen.filter(({ status, output_file_id: file }) => status !== 'completed' && file !== null).length, 0);
    };
    let begun = 0;
    const repeat = async () => {
      while (begun < REPETITIONS) {
        begun += 1;
        await once();
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, async (_, index) => (await delay(index * 50), await repeat())));
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import OpenAI from 'openai';
import { chatLine, chatLines, resultLines, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { accountFor, names, watch } from './story.ts';

describe('E. Execution and results: what a client sees on the way', () => {
  let stack: Stack;
  let client: OpenAI;
  before(async () => {
    // An adaptive limiter would have four requests in flight, and the slow lines one after the other.
    stack = await startStack({ env: { NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '128', NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed' } });
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

  describe('one slow or refused line of many', { concurrency: true }, () => {
    const SLOW_MS = 45_000;
    let sinceMs: number;
    let slow: OpenAI.Batch;
    let refused: OpenAI.Batch;
    before(async () => {
      await stack.upstream.set({ retryAfter: 60 });
      const linesWith = (count: number, odd: number, script: string) =>
        names('line-', count).map((id, index) => chatLine(id, index === odd ? script : 'delay=30'));
      slow = await submit(client, linesWith(150, 40, `delay=${SLOW_MS}`).join('\n'));
      refused = await submit(client, linesWith(101, 20, 'status=429,200').join('\n'));
      sinceMs = performance.now();
    });
    after(async () => {
      await stack.upstream.set({ retryAfter: 1 });
      await Promise.all([slow, refused].map(async ({ id }) => await client.batches.cancel(id)));
    });

    it('shows the other lines in lists that are at most 30 s old, although no client reads the batches', async () => {
      const listed = async () => {
        const { data } = await client.batches.list({ limit: 100 });
        return [slow, refused].map(({ id }) => data.find((batch) => batch.id === id)?.request_counts?.completed);
      };
      await until(async () => JSON.stringify(await listed()) === '[149,100]', { what: 'lists of 149 and 100', seconds: 60, everyMs: 500 });
      const tookMs = performance.now() - sinceMs;
      assert.ok(tookMs < 35_000, `lists took ${tookMs} ms`);
    });

    it('shows the other lines within seconds where a client reads the batch, and the same from another API', async () => {
      const other = await stack.startAnotherApi();
      const second = new OpenAI({ baseURL: `${other.origin}/v1`, apiKey: 'key-a' });
      // Reads of two APIs in turn, of a batch that runs and fails some lines: whichever API answers, no count steps back.
      const lines = names('turn-', 150).map((id, index) =>
        chatLine(id, index === 0 ? `delay=${SLOW_MS}` : index % 3 === 0 ? 'status=400' : 'delay=30'),
      );
      const { id } = await submit(client, lines.join('\n'));
      const startedMs = performance.now();
      let before = { total: 0, completed: 0, failed: 0 };
      for (let reads = 0; before.completed + before.failed < 149; reads++) {
        const { request_counts: counts } = await (reads % 2 === 0 ? client : second).batches.retrieve(id);
        assert.ok(
          counts !== undefined && counts.completed >= before.completed && counts.failed >= before.failed,
          JSON.stringify([before, counts]),
        );
        before = counts;
        assert.ok(performance.now() - startedMs < 15_000, JSON.stringify(counts));
        await delay(100);
      }
      assert.deepEqual(before, { total: 150, completed: 100, failed: 49 });
      await other.stop('SIGTERM');
      await client.batches.cancel(id);
    });
  });

  describe('a hundred batches of files that are uploaded at the same time', () => {
    const FILES = 100;
    /** The others end at their second line, which costs the machine less than to run them. */
    const WHOLE = 10;
    /** As the first list shows them that shows their end, and the lines of the output file read at once. */
    const ends = new Map<string, { batch: OpenAI.Batch; ids: string[] }>();
    const early: OpenAI.Batch[] = [];
    before(async () => {
      // Nothing else is in the lists of this tenant.
      const tenant = stack.client('key-b');
      await Promise.all(
        Array.from(
          { length: FILES },
          async (_, index) => await submit(tenant, index < WHOLE ? chatLines(2, `file-${index}-`) : `${chatLine('found')}\n{}\n`),
        ),
      );
      const look = async (batch: OpenAI.Batch) => {
        if (!['completed', 'failed'].includes(batch.status)) return void (batch.output_file_id && early.push(batch));
        if (!ends.has(batch.id))
          ends.set(batch.id, { batch, ids: (await resultLines(tenant, batch.output_file_id)).map((line) => line.custom_id) });
      };
      // A list of batches that run reads the record of each.
      const areOver = async () => {
        await Promise.all((await tenant.batches.list({ limit: FILES })).data.map(look));
        return ends.size === FILES;
      };
      await until(areOver, { what: 'all batches to end', seconds: 180, everyMs: 1_000 });
    });

    it('case 42: a hundred files are found by batches made right after them', () => {
      const all = [...ends.values()];
      const ways = all.map(({ batch: { status, errors } }) => `${status} ${errors?.data?.[0]?.line ?? ''}`);
      const wanted = Array.from({ length: FILES }, (_, index) => (index < WHOLE ? 'completed ' : 'failed 2'));
      assert.deepEqual(ways.toSorted(), wanted.toSorted());
      assert.equal(new Set(all.map(({ batch }) => batch.input_file_id)).size, FILES);
    });

    it('case 80: a client that sees completed reads the whole file at once', () => {
      assert.deepEqual(early, []);
      const completed = [...ends.values()].filter(({ batch }) => batch.status === 'completed');
      const read = completed.map(({ ids }) => ids.join(' ')).toSorted();
      const wanted = Array.from({ length: WHOLE }, (_, index) => `file-${index}-1 file-${index}-2`).toSorted();
      assert.deepEqual(read, wanted);
    });
  });
});

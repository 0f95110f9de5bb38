import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const LINES = 240;
const TENANTS = ['tenant-a', 'tenant-b', 'tenant-c', 'tenant-d'] as const;
let stack: Stack;

before(async () => {
  // 10 answers a second: what is handed out of a large batch waits in Temporal's queue.
  const env = {
    NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '4',
    NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
    NIGHTSHIFT_LINES_PER_ACTIVITY: '1',
    NIGHTSHIFT_API_KEYS: TENANTS.map((tenant) => `${tenant.replace('tenant', 'key')}=${tenant}`).join(','),
    NIGHTSHIFT_TENANT_PRIORITIES: 'tenant-a=1',
    NIGHTSHIFT_TENANT_WEIGHTS: 'tenant-d=5',
  };
  stack = await startStack({ env, upstream: ['--latency', '400'] });
});
after(async () => await stack[Symbol.asyncDispose]());

describe('batches of one line behind a large one', () => {
  it('go by tenant and by priority, and not by who came first', { timeout: 180_000 }, async () => {
    const [a, b] = [stack.client('key-a'), stack.client('key-b')];
    const large = await submit(a, Array.from({ length: LINES }, (_, line) => chatLine(`line-${line}`)).join('\n'));
    await until(async () => ((await a.batches.retrieve(large.id)).request_counts?.completed ?? 0) > 8, { what: 'the large batch to run' });
    const one = chatLine('one');
    const last = await submit(a, one, { metadata: { nightshift_priority: '5' } });
    const [first, others] = await Promise.all([submit(a, one, { metadata: { nightshift_priority: '1' } }), submit(b, one)]);
    await Promise.all([ended(a, first.id), ended(b, others.id)]);
    const [largeNow, lastNow] = await Promise.all([a.batches.retrieve(large.id), a.batches.retrieve(last.id)]);
    const { completed = 0 } = largeNow.request_counts ?? {};
    assert.ok(completed < LINES / 2, `${completed} of ${LINES} lines of the large batch came before`);
    assert.equal(lastNow.status, 'in_progress', 'the least urgent one, which came before both');
    await a.batches.cancel(large.id);
    assert.equal((await ended(a, last.id)).status, 'completed');
  });
});

describe('batches of many lines that run at the same time', () => {
  /** `input` for so many lines. */
  function lines(count: number): string {
    return Array.from({ length: count }, (_, line) => chatLine(`line-${line}`)).join('\n');
  }

  /** Lines answered so far, by batch. */
  async function completed(...batches: { client: OpenAI; id: string }[]): Promise<number[]> {
    return await Promise.all(batches.map(async ({ client, id }) => (await client.batches.retrieve(id)).request_counts?.completed ?? 0));
  }

  it('get as much of the upstream as their tenants have weight', { timeout: 120_000 }, async () => {
    const [light, heavy] = await Promise.all(
      ['key-c', 'key-d'].map(async (key) => {
        const client = stack.client(key);
        return { client, id: (await submit(client, lines(LINES / 2))).id };
      }),
    );
    assert.ok(light && heavy);
    let counts: number[] = [];
    await until(
      async () => {
        counts = await completed(light, heavy);
        return counts.reduce((sum, count) => sum + count, 0) >= 110;
      },
      { what: '110 lines to be answered', seconds: 60 },
    );
    await Promise.all([light, heavy].map(async ({ client, id }) => await client.batches.cancel(id)));
    const [ofLight = 0, ofHeavy = 0] = counts;
    assert.ok(ofHeavy > 2 * ofLight, `weight 5 has ${ofHeavy} lines, weight 1 has ${ofLight}`);
    assert.ok(ofLight > 10, `weight 1 has ${ofLight} lines beside ${ofHeavy}`);
    await Promise.all([light, heavy].map(async ({ client, id }) => await ended(client, id)));
  });

  it('pass those of other tenants by their priority only if the operator allows it', { timeout: 120_000 }, async () => {
    const [a, b] = [stack.client('key-a'), stack.client('key-b')];
    const urgent = { metadata: { nightshift_priority: '1' } };
    await assert.rejects(submit(b, lines(1), urgent), /The priorities that you may ask for are: '3', '4' and '5'/);
    const large = { client: b, id: (await submit(b, lines(LINES / 2))).id };
    await until(async () => ((await completed(large))[0] ?? 0) > 8, { what: 'the large batch to run' });
    const allowed = { client: a, id: (await submit(a, lines(60), urgent)).id };
    await until(async () => ((await completed(allowed))[0] ?? 0) > 20, { what: 'the urgent batch to run' });
    const [before = 0] = await completed(large);
    await ended(a, allowed.id);
    const [after = 0] = await completed(large);
    assert.ok(after - before < 20, `${after - before} lines of the other batch were answered beside 40 urgent ones`);
    await b.batches.cancel(large.id);
    await ended(b, large.id);
  });
});

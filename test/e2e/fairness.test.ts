import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, Connection } from '@temporalio/client';
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
    NIGHTSHIFT_OPERATOR_TENANTS: 'tenant-b',
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

describe('a batch of one line behind many batches of another tenant', () => {
  it('starts while most of them wait in the queue of the upstream', { timeout: 180_000 }, async () => {
    const [c, d] = [stack.client('key-c'), stack.client('key-d')];
    // Four are answered a second: with all of them open, the other tenant's line would still go next, but every one would be a shard.
    const slow = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => await submit(c, chatLine(`slow-${at}`, 'marker=slow; delay=1000'))),
    );
    const connection = await Connection.connect({ address: stack.temporal.address });
    try {
      const { workflow } = new Client({ connection });
      const waiting = async () => {
        const queue = await workflow.getHandle('queue/default').query<{ tenant: string; allWaiting: number }[]>('queue');
        return queue.find(({ tenant }) => tenant === 'tenant-c')?.allWaiting ?? 0;
      };
      await until(async () => (await waiting()) > 0, { what: 'batches to wait', seconds: 60 });
      const createdMs = performance.now();
      const other = await submit(d, chatLine('other', 'marker=other'));
      await until(async () => (await stack.upstream.calls())['other'] === 1, {
        what: 'the line of the other tenant',
        seconds: 30,
        everyMs: 20,
      });
      const seconds = (performance.now() - createdMs) / 1000;
      const { slow: sent = 0 } = await stack.upstream.calls();
      assert.ok(sent < slow.length, `all ${sent} were sent before, ${seconds.toFixed(1)} s`);
      assert.ok(seconds < 10, `it started after ${seconds.toFixed(1)} s`);
      assert.equal((await ended(d, other.id)).status, 'completed');
      for (const { id } of slow) assert.equal((await ended(c, id)).status, 'completed');
      assert.equal(await waiting(), 0);
    } finally {
      await connection.close();
    }
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

describe('the usage', () => {
  it('has a batch that was deleted, for its tenant and for operators', { timeout: 60_000 }, async () => {
    const [d, operator] = [stack.client('key-d'), stack.client('key-b')];
    const requests = async (client: OpenAI, tenant: string) => {
      const found = await client.get('/nightshift/usage', { query: { group_by: 'tenant,model' } });
      const rows: { tenant: string; model: string; requests: number }[] = Object(found).data;
      return rows.find((row) => row.tenant === tenant && row.model === 'example-model')?.requests ?? 0;
    };
    const before = await requests(d, 'tenant-d');
    const { id } = await submit(d, [chatLine('one'), chatLine('two')].join('\n'));
    assert.equal((await ended(d, id)).status, 'completed');
    await d.delete(`/batches/${id}`);
    assert.equal(await requests(d, 'tenant-d'), before + 2);
    assert.equal(await requests(operator, 'tenant-d'), before + 2);
    assert.equal(await requests(d, 'tenant-b'), 0);
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type OpenAI from 'openai';
import { chatLine, chatLines, ended, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { startLonelyApi } from './away.ts';
import { bucketOf } from './bucket.ts';
import { REDUCED } from './reduced.ts';
import { accountFor, completedLines, names, watch } from './story.ts';
import { send } from './wire.ts';

const IN_FLIGHT = 32;
const LATENCY_MS = 1_200;
/** Case 114 says two minutes; what has to hold does not depend on it. */
const AWAY_MS = REDUCED.bucketAwaySeconds * 1000;

describe('K. Durability', () => {
  let stack: Stack;
  let client: OpenAI;
  let orphan: OpenAI.Batch;
  before(async () => {
    stack = await startStack({
      ownMinio: true,
      env: {
        NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: String(IN_FLIGHT),
        NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
        NIGHTSHIFT_LINES_PER_ACTIVITY: '4',
        NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '5',
      },
      upstream: ['--latency', String(LATENCY_MS)],
    });
    client = stack.client();
    // Case 113 waits for the sweep: it begins here and ends last.
    await using lonely = await startLonelyApi(stack);
    orphan = await submit(lonely.client, chatLines(3));
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('case 111: a killed worker loses no line and repeats none that was answered a second before', { timeout: 300_000 }, async () => {
    const ids = names('killed-', 240);
    // One line in eight fails, before the kill and after it.
    const script = (id: string, index: number) => `marker=${id}${index % 8 === 0 ? '; status=400' : ''}`;
    const created = await submit(client, ids.map((id, index) => chatLine(id, script(id, index))).join('\n'));
    await completedLines(client, created.id, 90);
    await stack.worker.stop('SIGKILL');
    await stack.startWorker();
    const seen = await watch(client, created.id, { seconds: 240, everyMs: 250 });
    const batch = seen.at(-1) ?? created;
    assert.equal(batch.status, 'completed');
    const { output, errors } = await accountFor(client, batch, ids);
    assert.deepEqual([output.length, errors.length], [210, 30]);
    for (const [index, { request_counts: counts }] of seen.entries()) {
      const before = seen[index - 1]?.request_counts;
      for (const count of ['completed', 'failed'] as const) {
        assert.ok((counts?.[count] ?? 0) >= (before?.[count] ?? 0), `${count} stepped back: ${JSON.stringify([before, counts])}`);
      }
    }
    const calls = await stack.upstream.calls();
    const again = ids.map((id) => (calls[id] ?? 0) - 1);
    assert.ok(again.every((times) => times === 0 || times === 1));
    const perSecond = Math.ceil((IN_FLIGHT * 1000) / LATENCY_MS);
    const repeated = again.reduce<number>((sum, times) => sum + times, 0);
    // In flight, or answered in the second for which answers are gathered.
    assert.ok(repeated <= IN_FLIGHT + perSecond, `${repeated} lines were sent again`);
  });

  it('case 114: while the bucket is away nothing ends and nothing is lost', { timeout: 400_000 }, async () => {
    // Slow enough that the bucket goes long before the last line has its answer.
    await stack.upstream.set({ latency: 2_500 });
    const ids = names('away-', 240);
    const created = await submit(client, ids.map((id) => chatLine(id, `marker=${id}`)).join('\n'));
    await completedLines(client, created.id, 40);
    const gone = once(stack.minio.process, 'exit');
    stack.minio.process.kill('SIGKILL');
    await gone;
    await stack.upstream.set({ latency: LATENCY_MS });
    const backMs = Date.now() + AWAY_MS;
    while (Date.now() < backMs) {
      const reply = await send(stack, `/v1/batches/${created.id}`);
      assert.ok(reply.status === 503 || (reply.status === 200 && JSON.parse(reply.text).status === 'in_progress'), reply.text);
      await delay(500);
    }
    await stack.minio.startAgain();
    const batch = await ended(client, created.id, 200);
    assert.equal(batch.status, 'completed');
    const { output } = await accountFor(client, batch, ids);
    assert.equal(output.length, 240);
    const calls = await stack.upstream.calls();
    const repeated = ids.reduce((sum, id) => sum + (calls[id] ?? 0) - 1, 0);
    assert.ok(repeated <= IN_FLIGHT, `${repeated} lines were sent again`);
  });

  it('case 113: a batch whose API died before its workflow was started is started by the sweep', { timeout: 400_000 }, async () => {
    assert.equal(orphan.status, 'validating');
    const batch = await ended(client, orphan.id, 300);
    assert.equal(batch.status, 'completed');
    await accountFor(client, batch, names('line-', 3));
    await until(async () => (await bucketOf(stack).keys('open/')).length === 0, { what: 'the last marker to go' });
  });
});

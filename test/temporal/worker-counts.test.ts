import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connectTemporal } from '../../src/temporal/connection.ts';
import { createWorkerCounts } from '../../src/temporal/worker-counts.ts';
import { requestsTaskQueue } from '../../workflows/contract.ts';
import { startTemporal } from '../helpers/servers.ts';
import { until } from '../workflows/model.ts';

describe('createWorkerCounts', () => {
  it('counts who polled lately, and is one before anybody told', async () => {
    await using server = await startTemporal();
    const { connection } = connectTemporal({ address: server.address, namespace: 'default', apiKey: null, tls: false });
    const [namespace, ending] = ['default', new AbortController()];
    let aheadMs = 0;
    const counts = createWorkerCounts({ connection, namespace, upstreams: ['main', 'idle'], nowMs: () => Date.now() + aheadMs });
    assert.equal(counts.of('main'), 1);

    // What a worker does, but one process may have one worker per queue only.
    const polls = ['one', 'two', 'two'].map((identity) =>
      connection
        .withAbortSignal(ending.signal, () =>
          connection.withDeadline(Date.now() + 60_000, () =>
            connection.workflowService.pollActivityTaskQueue({ namespace, taskQueue: { name: requestsTaskQueue('main') }, identity }),
          ),
        )
        .catch(() => undefined),
    );
    await until('both are counted', async () => (await counts.refresh(), counts.of('main') === 2));
    assert.equal(counts.of('idle'), 1);
    aheadMs = 120_000;
    await counts.refresh();
    assert.equal(counts.of('main'), 1, 'nobody polled for two minutes');

    ending.abort();
    await Promise.all(polls);
    await connection.close();
  });
});

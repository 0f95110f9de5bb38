import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig } from '../../src/config/config.ts';
import { warnOfLimits } from '../../src/processes/warn-of-limits.ts';
import { checkServerLimits } from '../../src/temporal/check-server-limits.ts';
import { connectTemporal } from '../../src/temporal/connection.ts';
import { startTemporal } from '../helpers/servers.ts';

const taskQueues = ['requests-a'];

/** What a worker of this server logs, which checks after so long unless the signal comes first. */
async function logged(address: string, afterMs: number, signal: AbortSignal): Promise<string[]> {
  const s3 = { NIGHTSHIFT_S3_ENDPOINT: 'http://127.0.0.1:1', NIGHTSHIFT_S3_ACCESS_KEY: 'access', NIGHTSHIFT_S3_SECRET_KEY: 'secret' };
  const config = loadConfig({ ...s3, NIGHTSHIFT_TEMPORAL_ADDRESS: address, NIGHTSHIFT_UPSTREAM_URL: 'http://127.0.0.1:1/v1' }, 'worker');
  const lines: string[] = [];
  const log = (line: unknown) => void lines.push(String(line));
  await warnOfLimits(config, { afterMs, nonce: 'worker', signal, logger: { warn: log, info: log } });
  return lines;
}

describe('checkServerLimits', () => {
  it('finds nothing wrong with the server that ships, leaves nothing there, and checks once at a time', async () => {
    await using server = await startTemporal();
    const address = { address: server.address, namespace: 'default', apiKey: null, tls: false };
    const found = await Promise.all(['1', '2', '3'].map(async (nonce) => await checkServerLimits(address, { nonce, taskQueues })));
    assert.deepEqual(
      found.toSorted((a, b) => Number(a === null) - Number(b === null)),
      [[], null, null],
    );
    assert.deepEqual(await checkServerLimits(address, { nonce: '4', taskQueues }), []);
    const { client, connection } = connectTemporal(address);
    for await (const { workflowId } of client.workflow.list({ query: "ExecutionStatus = 'Running'" })) assert.fail(`${workflowId} is left`);
    await connection.close();
  });

  it('names each value that a server with its own defaults has too low', async () => {
    await using server = await startTemporal([]);
    const address = { address: server.address, namespace: 'default', apiKey: null, tls: false };
    const found = (await checkServerLimits(address, { nonce: '1', taskQueues })) ?? [];
    assert.equal(found.length, 4);
    const ofWorker = await logged(server.address, 1, new AbortController().signal);
    assert.equal(ofWorker.length, 4, ofWorker.join('\n'));
    assert.match(ofWorker[0] ?? '', /MaxBufferedQueryCount.*See docs\/operations\.md/);
    for (const [at, expected] of [
      /MaxBufferedQueryCount.*Set it to 100/,
      /maximumBufferedEventsBatch.*Set it to 1000/,
      /"requests-a" has 4 partitions/,
      /enableFairness is on cannot be seen/,
    ].entries())
      assert.match(found[at] ?? '', expected);
  });

  it('sees that tenants take no turns in a task queue of one partition', async () => {
    await using server = await startTemporal(
      ['matching.numTaskqueueReadPartitions=1', 'matching.numTaskqueueWritePartitions=1', 'matching.enableFairness=false'].map(
        (value) => `--dynamic-config-value=${value}`,
      ),
    );
    const address = { address: server.address, namespace: 'default', apiKey: null, tls: false };
    const found = (await checkServerLimits(address, { nonce: '1', taskQueues })) ?? [];
    assert.match(found.at(-1) ?? '', /has no matching\.enableFairness/);
  });

  it('is left out by a worker that ends before', async () => {
    assert.deepEqual(await logged('127.0.0.1:1', 60_000, AbortSignal.timeout(1)), []);
  });
});

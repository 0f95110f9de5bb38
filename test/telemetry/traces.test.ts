import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { workflowBundle as bundle } from '../../src/temporal/workflow-bundle.ts';
import { chatLines, ended, submit } from '../helpers/lines.ts';
import { startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { type SeenSpan, startCollector } from './collector.ts';

const SECRET = 'the-key-of-the-upstream';
/** What a client that traces itself sends. */
const CLIENT_TRACE = '0af7651916cd43dd8448eb211c80319c';
const CLIENT_SPAN = 'b7ad6b7169203331';

/** An upstream that answers the first try of every request with 500 and remembers the headers of all. */
async function startTryingUpstream() {
  const seen: IncomingHttpHeaders[] = [];
  const tried = new Set<unknown>();
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      // The worker also asks for the models.
      if (request.method === 'POST') seen.push(request.headers);
      const key = request.headers['idempotency-key'];
      const status = tried.has(key) ? 200 : 500;
      tried.add(key);
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"object":"chat.completion"}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}/v1`,
    seen,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

describe('traces', () => {
  it('tie a batch together, from the HTTP request that made it to every call upstream', async (t) => {
    await using collector = await startCollector();
    await using upstream = await startTryingUpstream();
    await using stack = await startStack({
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
        NIGHTSHIFT_UPSTREAM_URL: upstream.url,
        NIGHTSHIFT_UPSTREAM_API_KEY: SECRET,
      },
    });
    const client = stack.client().withOptions({ defaultHeaders: { traceparent: `00-${CLIENT_TRACE}-${CLIENT_SPAN}-01` } });
    const { id } = await submit(client, chatLines(2));
    assert.equal((await ended(client, id)).status, 'completed');

    const isMine = ({ traceId }: SeenSpan) => traceId === CLIENT_TRACE;
    const named = (name: string) => collector.spans.filter((span) => isMine(span) && span.name === name);
    const lineage = (span: SeenSpan): string[] => {
      const parent = collector.spans.find((each) => isMine(each) && each.spanId === span.parentId);
      return [span.name, ...(parent === undefined ? [`client ${span.parentId}`] : lineage(parent))];
    };
    // API and worker send their spans whenever each of them sees fit.
    const isComplete = () =>
      named('upstream attempt').length >= 4 && named('upstream attempt').every((span) => lineage(span).at(-1) === `client ${CLIENT_SPAN}`);
    await until(isComplete, { what: 'all spans between the client and the calls upstream' });

    const attempts = named('upstream attempt');
    assert.deepEqual(attempts.map(({ attributes }) => `${attributes['nightshift.line']}.${attributes['nightshift.attempt']}`).sort(), [
      '1.1',
      '1.2',
      '2.1',
      '2.2',
    ]);
    for (const attempt of attempts) {
      assert.equal(attempt.service, 'nightshift-worker');
      assert.equal(attempt.attributes['nightshift.batch.id'], id);
      assert.deepEqual(lineage(attempt), [
        'upstream attempt',
        'activity runRequests',
        'workflow shard',
        'workflow batch',
        'start batch',
        'POST /v1/batches',
        `client ${CLIENT_SPAN}`,
      ]);
    }
    // The upstream can go on with the trace.
    assert.deepEqual(
      upstream.seen.map(({ traceparent }) => traceparent).sort(),
      attempts.map(({ spanId }) => `00-${CLIENT_TRACE}-${spanId}-01`).sort(),
    );
    // What the trace adds to the history replays, also on a worker that knows nothing of traces.
    const temporal = await Connection.connect({ address: stack.temporal.address });
    t.after(async () => await temporal.close());
    const histories = new Client({ connection: temporal }).workflow.list({ query: "WorkflowType = 'batch'" }).intoHistories();
    Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
    const workflowBundle = await bundle(join(tmpdir(), 'nightshift-test-bundles'));
    let replayed = 0;
    for await (const { workflowId, error } of Worker.runReplayHistories({ workflowBundle }, histories)) {
      assert.equal(error, undefined, workflowId);
      replayed += 1;
    }
    assert.equal(replayed, 1);
    // Neither keys nor bodies.
    const all = JSON.stringify(collector.spans);
    for (const secret of [SECRET, 'key-a', 'Say line-1']) assert.ok(!all.includes(secret), `${secret} is in a span`);
  });
});

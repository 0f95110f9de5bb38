import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { ended, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { type FaultProxy, startFaultProxy } from '../storage/fault-proxy.ts';
import { bucketOf } from './bucket.ts';
import { assertEnvelope, send } from './wire.ts';
import { accountFor, names } from './story.ts';

/** 120 answers of about 190 KB: their file is uploaded in parts. */
const LINES = 120;
const INPUTS = Array.from({ length: 4 }, () => 'x');
const DIMENSIONS = 4096;
/** Past every age after which the sweep takes what an upload left behind. */
const LATER_MS = 25 * 3_600_000;

describe('K. Durability: a kill while the results are published', () => {
  let stack: Stack;
  let client: OpenAI;
  let proxy: FaultProxy;
  before(async () => {
    stack = await startStack({
      env: { NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '2' },
      upstream: ['--latency', '0'],
      bucketAt: async (endpoint) => (proxy = await startFaultProxy(endpoint)).endpoint,
    });
    client = stack.client();
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });

  it('case 112: one output file in the end, no half file is ever readable, nothing is left over', { timeout: 300_000 }, async () => {
    const ids = names('wide-', LINES);
    const body = { model: 'example-model', input: INPUTS, dimensions: DIMENSIONS };
    const text = ids.map((custom_id) => JSON.stringify({ custom_id, method: 'POST', url: '/v1/embeddings', body })).join('\n');
    const created = await submit(client, text, { endpoint: '/v1/embeddings' });
    // The second part of a result file never arrives, so that publishing is not over before the worker is killed.
    let firstParts = 0;
    proxy.fault = (method, path) => {
      if (method === 'PUT' && /\/content\/.*\bpartNumber=1\b/.test(path)) firstParts += 1;
      return method === 'PUT' && /\/content\/.*\bpartNumber=2\b/.test(path) ? 'silence' : null;
    };
    const bucket = bucketOf(stack);
    /** Keys of result files that are being uploaded, by the markers of their uploads; a killed upload leaves its marker. */
    const uploading = async () => {
      const markers = await Promise.all((await bucket.keys('uploads/')).map(async (key) => await bucket.read(key).catch(() => '{}')));
      return markers.map((marker) => String(JSON.parse(String(marker)).key)).filter((key) => key.startsWith('content/'));
    };
    const isHalf = async () => {
      const [key] = await uploading();
      return key !== undefined && (await bucket.halfUploads(key)) > 0;
    };
    await until(isHalf, { what: 'publishing to begin', seconds: 120, everyMs: 100 });
    const halves = (await uploading()).map((key) => key.split('/').at(-1));
    assert.ok(halves.length > 0);
    for (const id of halves) {
      for (const path of [`/v1/files/${id}`, `/v1/files/${id}/content`]) assertEnvelope(await send(stack, path), 404);
    }
    await stack.worker.stop('SIGKILL');
    proxy.fault = (method, path) => {
      if (method === 'PUT' && /\/content\/.*\bpartNumber=1\b/.test(path)) firstParts += 1;
      return null;
    };
    assert.equal((await client.batches.retrieve(created.id)).status, 'finalizing');
    const killed = await uploading();
    // Whatever the list shows by now can be read to its end.
    for await (const file of client.files.list({ purpose: 'batch_output' })) {
      assert.equal((await (await client.files.content(file.id)).arrayBuffer()).byteLength, file.bytes);
    }
    await stack.startWorker();
    const batch = await ended(client, created.id, 150);
    assert.equal(batch.status, 'completed');
    const { output } = await accountFor(client, batch, ids);
    assert.equal(output.length, LINES);
    const leftovers = async () => {
      const keys = (await Promise.all(['work/', 'uploads/', 'open/', 'content/'].map(async (prefix) => await bucket.keys(prefix)))).flat();
      const wanted = [batch.input_file_id, batch.output_file_id].map((id) => `content/tenant-a/${id}`);
      const half = await Promise.all(killed.map(async (key) => ((await bucket.halfUploads(key)) > 0 ? [`half of ${key}`] : [])));
      return [...keys.filter((key) => !wanted.includes(key)), ...half.flat()];
    };
    // The next worker went on with the upload of the killed one: what had arrived was not sent again.
    assert.deepEqual(killed, [`content/tenant-a/${batch.output_file_id}`]);
    assert.equal(firstParts, 1);
    const published = [];
    for await (const file of client.files.list({ purpose: 'batch_output' })) published.push(file.id);
    assert.deepEqual(published, [batch.output_file_id]);

    // A day later nothing is left of the batch but its files.
    await stack.worker.stop('SIGTERM');
    const clock = `const now = Date.now; Date.now = () => now() + ${LATER_MS};`;
    stack.env['NODE_OPTIONS'] = `--import=data:text/javascript,${encodeURIComponent(clock)}`;
    await stack.startWorker();
    await until(async () => (await leftovers()).length === 0, { what: 'the sweep', seconds: 90, everyMs: 500 }).catch(async () =>
      assert.deepEqual(await leftovers(), []),
    );
    assert.deepEqual(await client.batches.retrieve(created.id), batch);
    await accountFor(client, batch, ids);
  });
});

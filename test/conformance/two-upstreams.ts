import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ExampleUpstream, startExampleUpstream } from '../../examples/upstream.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

/** A stack with two upstreams, both served by one example upstream inside the test, whose calls can be read, and one that only lists models. */
export interface TwoUpstreams extends AsyncDisposable {
  stack: Stack;
  /** `one` serves `example-model` and `other-model`, `two` serves `third-model` and, as `third-model`, `renamed-model`. */
  upstream: ExampleUpstream;
}

export async function startTwoUpstreams(env: Record<string, string> = {}): Promise<TwoUpstreams> {
  const upstream = await startExampleUpstream();
  const lists = await startListingServer(['listed-a', 'listed-b']);
  const directory = await mkdtemp(join(tmpdir(), 'nightshift-conformance-'));
  const path = join(directory, 'upstreams.yaml');
  const base_urls = [`${upstream.url}/v1`];
  const upstreams = [
    { name: 'one', base_urls, models: ['example-model', 'other-model'] },
    { name: 'two', base_urls, models: ['third-model'], aliases: { 'renamed-model': 'third-model' }, add: { priority: 5 } },
    { name: 'listing', base_urls: [`${lists.url}/v1`], models: ['listed-*'] },
  ];
  await writeFile(path, JSON.stringify(upstreams));
  const stack = await startStack({ env: { NIGHTSHIFT_UPSTREAM_URL: '', NIGHTSHIFT_UPSTREAMS_FILE: path, ...env } });
  return {
    stack,
    upstream,
    async [Symbol.asyncDispose]() {
      await stack[Symbol.asyncDispose]();
      await upstream.close();
      lists.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A server that only tells its models. */
async function startListingServer(models: readonly string[]): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    const isList = request.url === '/v1/models';
    const data = models.map((id) => ({ id, object: 'model', created: 0, owned_by: 'vllm' }));
    response
      .writeHead(isList ? 200 : 404, { 'content-type': 'application/json' })
      .end(JSON.stringify(isList ? { object: 'list', data } : {}));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return { url: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}

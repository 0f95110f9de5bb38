import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ExampleUpstream, startExampleUpstream } from '../../examples/upstream.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

/** A stack with two upstreams, both served by one example upstream inside the test, whose calls can be read. */
export interface TwoUpstreams extends AsyncDisposable {
  stack: Stack;
  /** `one` serves `example-model` and `other-model`, `two` serves `third-model`. */
  upstream: ExampleUpstream;
}

export async function startTwoUpstreams(env: Record<string, string> = {}): Promise<TwoUpstreams> {
  const upstream = await startExampleUpstream();
  const directory = await mkdtemp(join(tmpdir(), 'nightshift-conformance-'));
  const path = join(directory, 'upstreams.yaml');
  const base_urls = [`${upstream.url}/v1`];
  const upstreams = [
    { name: 'one', base_urls, models: ['example-model', 'other-model'] },
    { name: 'two', base_urls, models: ['third-model'] },
  ];
  await writeFile(path, JSON.stringify(upstreams));
  const stack = await startStack({ env: { NIGHTSHIFT_UPSTREAM_URL: '', NIGHTSHIFT_UPSTREAMS_FILE: path, ...env } });
  return {
    stack,
    upstream,
    async [Symbol.asyncDispose]() {
      await stack[Symbol.asyncDispose]();
      await upstream.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

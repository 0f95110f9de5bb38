import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import {
  askServerQueue,
  followServerQueue,
  type MetricsAnswer,
  readServerQueue,
  type ServerQueue,
} from '../../src/upstream/admission/server-metrics.ts';

const VLLM = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-8B"} 28.0
vllm:num_requests_running{engine="1",model_name="a}b \\" c"} 4.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-8B"} 3.0
vllm:num_requests_waiting{engine="1",model_name="a}b \\" c"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 3.0
vllm:e2e_request_latency_seconds_bucket{le="+Inf",model_name="Qwen/Qwen3-8B"} 1.2e+03
`;

const SGLANG_PRIORITIES = `sglang:num_running_reqs{model_name="m",priority=""} 5.0
sglang:num_running_reqs{model_name="m",priority="0"} 1.0
sglang:num_running_reqs{model_name="m",priority="-10"} 4.0
sglang:num_queue_reqs{model_name="m",priority=""} 2.0
sglang:num_queue_reqs{model_name="m",priority="-10"} 2.0
`;

const TEXTS: readonly [string, string, MetricsAnswer][] = [
  ['vLLM, summed over engines', VLLM, { running: 32, waiting: 3 }],
  ['SGLang', 'sglang:num_running_reqs{model_name="m"} 5.0\nsglang:num_queue_reqs{model_name="m"} 2.0\n', { running: 5, waiting: 2 }],
  ['SGLang with priorities, which tells parts beside the whole', SGLANG_PRIORITIES, { running: 5, waiting: 2 }],
  ['TGI', 'tgi_queue_size 7\ntgi_batch_current_size 16 1700000000000\n', { running: 16, waiting: 7 }],
  ['llama.cpp', 'llamacpp:requests_processing 1\r\nllamacpp:requests_deferred 4\r\n', { running: 1, waiting: 4 }],
  ['a server of these that has had no request', '# TYPE sglang:num_running_reqs gauge\n', 'later'],
  ['a gauge that is no number', 'tgi_queue_size NaN\ntgi_batch_current_size 1\n', 'later'],
  ['Prometheus text of another server', 'http_requests_total{method="post"} 1027\n', 'never'],
  ['HTML', '<html><body>llama</body></html>', 'never'],
  ['JSON', '{"error": "not found"}', 'never'],
  ['nothing', '', 'never'],
];

describe('readServerQueue', () => {
  for (const [name, text, expected] of TEXTS) it(`reads ${name}`, () => assert.deepEqual(readServerQueue(text), expected));
});

describe('askServerQueue', () => {
  let server: Server;
  let [status, text, isSilent] = [200, VLLM, false];
  let asked: { url: string | undefined; authorization: string | undefined; team: string | string[] | undefined }[] = [];
  const secrets = { apiKey: 'key', headers: { 'x-team': 'nights' } };
  const baseUrl = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;

  before(async () => {
    server = createServer((request, response) => {
      asked.push({ url: request.url, authorization: request.headers.authorization, team: request.headers['x-team'] });
      if (!isSilent) response.writeHead(status, { location: '/elsewhere' }).end(text);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  after(() => (server.close(), server.closeAllConnections()));
  beforeEach(() => ([status, text, isSilent, asked] = [200, VLLM, false, []]));

  it('asks beside the base URL, with the credentials of requests', async () => {
    assert.deepEqual(await askServerQueue(baseUrl(), secrets), { running: 32, waiting: 3 });
    assert.deepEqual(asked, [{ url: '/metrics', authorization: 'Bearer key', team: 'nights' }]);
  });

  for (const [code, expected] of [
    [404, 'never'],
    [401, 'never'],
    [302, 'never'],
    [501, 'never'],
    [429, 'later'],
    [502, 'later'],
    [503, 'later'],
  ] as const)
    it(`takes ${code} for "${expected}"`, async () => {
      [status, text] = [code, 'no'];
      assert.equal(await askServerQueue(baseUrl(), secrets), expected);
    });

  it('takes silence and a refused connection for "later"', async () => {
    isSilent = true;
    assert.equal(await askServerQueue(baseUrl(), secrets, 50), 'later');
    assert.equal(await askServerQueue('http://127.0.0.1:1/v1', secrets), 'later');
  });
});

describe('followServerQueue', () => {
  /** Follows a server that answers one after the other; `waits` are the pauses between. */
  async function follow(answers: MetricsAnswer[], isBusy: (pauses: number) => boolean) {
    const ending = new AbortController();
    const [told, pauses]: [ServerQueue[], number[]] = [[], []];
    let asked = 0;
    await followServerQueue({
      ask: async () => answers[asked++] ?? 'never',
      tell: (queue) => void told.push(queue),
      isBusy: () => isBusy(pauses.length),
      signal: ending.signal,
      pause: async (ms) => {
        pauses.push(ms);
        if (pauses.length === 10) ending.abort();
      },
    });
    return { told, pauses, asked };
  }
  const queue = { running: 1, waiting: 0 };

  it('asks once at the start and then only while requests run', async () => {
    assert.equal(
      (
        await follow(
          Array.from({ length: 10 }, () => queue),
          () => false,
        )
      ).asked,
      1,
    );
    const { asked, told } = await follow(
      Array.from({ length: 10 }, () => queue),
      (pauses) => pauses >= 5,
    );
    assert.deepEqual([asked, told.length], [6, 6]);
  });

  it('ends at the first answer that tells nothing', async () => {
    const { asked, pauses } = await follow([queue, 'never', queue], () => true);
    assert.deepEqual([asked, pauses.length], [2, 1]);
  });

  it('asks less often while a server does not answer, and goes on when it does', async () => {
    const { told, pauses } = await follow([queue, 'later', 'later', queue, queue, 'never'], () => true);
    assert.deepEqual(pauses, [1500, 15_000, 15_000, 1500, 1500]);
    assert.equal(told.length, 3);
  });
});

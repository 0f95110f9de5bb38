import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import { loadConfig } from '../../src/config/config.ts';
import { describeOwnUpstream } from '../../src/processes/local/own-upstream.ts';

const S3 = { NIGHTSHIFT_S3_ACCESS_KEY: 'a', NIGHTSHIFT_S3_SECRET_KEY: 'b' };

/** What is said of an upstream that answers so when it is asked for its models. */
async function saidOf(answer: string, status = 200, path = '/v1'): Promise<{ said: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers.authorization}`);
    response.writeHead(status, { 'content-type': 'application/json' }).end(answer);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const env = {
    NIGHTSHIFT_UPSTREAM_URL: `http://127.0.0.1:${address.port}${path}`,
    NIGHTSHIFT_UPSTREAM_API_KEY: 'sk-1',
    ...S3,
  };
  const said = await describeOwnUpstream(loadConfig(env, 'local'));
  server.close();
  return { said, asked };
}

describe('describeOwnUpstream', () => {
  it('names the models of the server and how to send it the example', async () => {
    const { said, asked } = await saidOf('{"data":[{"id":"meta/llama-3:8b"},{"id":"other"}]}');
    assert.deepEqual(asked, ['/v1/models Bearer sk-1']);
    assert.match(said, /serves meta\/llama-3:8b, other\./);
    assert.match(said, /sed 's\|example-model\|meta\/llama-3:8b\|' examples\/first-batch\.jsonl/);
  });

  it('asks for the models where an SDK with this base URL asks', async () => {
    const at = async (path: string) => (await saidOf('{}', 200, path)).asked;
    assert.deepEqual(await at('/api/paas/v4/'), ['/api/paas/v4/models Bearer sk-1']);
    assert.deepEqual(await at('?tenant=a'), ['/v1/models?tenant=a Bearer sk-1']);
  });

  it('leaves the model open where none is told, and shows nothing that a shell would take for more than a name', async () => {
    for (const answer of ['no JSON', 'null', '{"data":7}', '{"data":[{"id":"a\'; rm -rf /"},{"id":7},null]}'])
      assert.match((await saidOf(answer)).said, /does not tell its models[\s\S]*\|MODEL\|/);
  });

  it('says so when nothing listens there, and when the server refuses the key', async () => {
    const env = { NIGHTSHIFT_UPSTREAM_URL: 'http://127.0.0.1:2/v1', ...S3 };
    assert.match(
      await describeOwnUpstream(loadConfig(env, 'local')),
      /127\.0\.0\.1:2 does not answer: the upstream refuses connections \(ECONNREFUSED\)\./,
    );
    assert.match((await saidOf('{}', 401)).said, /refuses the key \(HTTP 401\)/);
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import { chatLine, ended, resultLines, submit } from '../helpers/lines.ts';
import { startStack } from '../helpers/stack.ts';

const UPSTREAM_KEY = 'sk-upstream-8d1f6c';
const TENANT_KEY = 'tenant-key-91c4';
const URL_PASSWORD = 'url-password-5b0e';
const URL_QUERY = 'url-query-c3d2';
const BODY_WORDS = 'words-of-a-prompt-7e2a';

describe('credentials and bodies', () => {
  it('are in no record, result, log or history', async () => {
    // The worst upstream: it repeats the credentials it was given, in what it answers and in what it refuses.
    const seen = new Set<string>();
    const upstream = createServer((request, answer) => {
      const given = String(request.headers.authorization);
      request.resume().on('end', () => {
        // It has no list of models, but the worker asks for one before it sends anything.
        if (request.method === 'GET') return void answer.writeHead(404).end();
        const headers = { 'content-type': 'application/json', 'x-request-id': `id-of-${UPSTREAM_KEY}` };
        // The first is refused, all others are answered.
        if (seen.size === 0) answer.writeHead(400, headers).end(JSON.stringify({ error: { message: `bad key ${given}` } }));
        else answer.writeHead(200, headers).end(JSON.stringify({ object: 'chat.completion', choices: [], debug: { key: given } }));
        seen.add(given);
      });
    }).listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const address = upstream.address();
    assert.ok(address !== null && typeof address === 'object');

    await using stack = await startStack({
      ownMinio: true,
      env: {
        NIGHTSHIFT_UPSTREAM_URL: `http://user:${URL_PASSWORD}@127.0.0.1:${address.port}/v1?code=${URL_QUERY}`,
        NIGHTSHIFT_UPSTREAM_API_KEY: UPSTREAM_KEY,
        NIGHTSHIFT_API_KEYS: `${TENANT_KEY}=tenant-a`,
        NIGHTSHIFT_LOG_LEVEL: 'debug',
      },
    });
    const client = stack.client(TENANT_KEY);
    const lines = [chatLine('one').replace('Say one', BODY_WORDS), chatLine('two')];
    const batch = await ended(client, (await submit(client, lines.join('\n'))).id);
    assert.deepEqual(batch.request_counts, { total: 2, completed: 1, failed: 1 });
    upstream.close();
    assert.deepEqual([...seen], [`Bearer ${UPSTREAM_KEY}`], 'the configured key, and no key of a client, goes upstream');
    const [error] = await resultLines(client, batch.error_file_id);
    assert.match(JSON.stringify(error?.response?.body), /bad key Bearer \*\*\*/);
    const [output] = await resultLines(client, batch.output_file_id);
    assert.deepEqual([output?.response?.body['debug'], output?.response?.request_id], [{ key: 'Bearer ***' }, 'id-of-***']);

    const connection = await Connection.connect({ address: stack.temporal.address });
    const temporal = new Client({ connection });
    let history = '';
    for (const workflowId of [batch.id, `${batch.id}/shard-0000`]) {
      const json = JSON.stringify(await temporal.workflow.getHandle(workflowId).fetchHistory());
      // Payloads stand there in base64.
      history += json.replaceAll(/"data":"([^"]*)"/g, (_, data: string) => Buffer.from(data, 'base64').toString());
    }
    await connection.close();
    assert.match(history, /runRequests/);
    assert.match(history, /inputFileId/, 'payloads can be read here');
    // From here on nobody writes, logs, or takes objects away while they are read.
    await Promise.all([stack.api.stop(), stack.worker.stop()]);
    const logs = stack.api.log() + stack.worker.log();
    assert.match(logs, /starting/);
    const bucket = await readTree(stack.minio.directory);
    assert.match(bucket, /batch_req_/);

    for (const [place, text] of Object.entries({ history, logs, bucket })) {
      for (const secret of [UPSTREAM_KEY, TENANT_KEY, URL_PASSWORD, URL_QUERY, stack.minio.secretKey]) {
        assert.equal(text.includes(secret), false, `${secret} stands in ${place}`);
      }
    }
    for (const [place, text] of Object.entries({ history, logs }))
      assert.equal(text.includes(BODY_WORDS), false, `a body stands in ${place}`);
  });
});

/** Everything below a folder as one text; MinIO's own configuration is left out. */
async function readTree(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.includes('.minio.sys'));
  const texts = await Promise.all(files.map(async (file) => await readFile(join(file.parentPath, file.name), 'latin1')));
  return texts.join('\n');
}

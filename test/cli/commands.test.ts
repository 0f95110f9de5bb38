import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { aBatch, nightshift, startFakeApi } from './fake-api.ts';
import type { Batch } from '../../src/domain/batch.ts';

let folder: string;
let input: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nightshift-cli-'));
  input = join(folder, 'in.jsonl');
  await writeFile(input, '\n{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{}}\n');
});
after(async () => await rm(folder, { recursive: true }));

/** An API whose batch ends as given after some looks at it. */
async function apiThatEnds(end: Partial<Batch>) {
  let looks = 0;
  const bodies: Record<string, string> = {};
  const api = await startFakeApi((method, path, body, headers) => {
    bodies[`${method} ${path}`] = body.toString();
    bodies['authorization'] = headers.authorization ?? '';
    if (method === 'POST' && path === '/v1/files') return { body: { id: 'file-in' } };
    if (method === 'POST' && path === '/v1/batches') return { body: aBatch({ status: 'validating' }) };
    if (path === '/v1/batches/batch_1') {
      looks += 1;
      if (looks === 1) return 'hang up';
      if (looks === 2) return { status: 503, body: { error: { message: 'not ready' } } };
      return { body: looks === 3 ? aBatch() : aBatch(end) };
    }
    if (path === '/v1/files/file-out/content') return { body: '{"custom_id":"a"}\n' };
    if (path === '/v1/files/file-err/content') return { body: '{"custom_id":"b"}\n' };
    return { status: 404, body: { error: { message: 'unexpected' } } };
  });
  return { api, bodies };
}

const COMPLETED = {
  status: 'completed',
  completed_at: 1_700_000_010,
  output_file_id: 'file-out',
  request_counts: { total: 1, completed: 1, failed: 0 },
} as const;

describe('nightshift submit', () => {
  it('uploads, creates with the url of the first line, and prints the id', async () => {
    const { api, bodies } = await apiThatEnds(COMPLETED);
    await using _api = api;
    const ended = await nightshift(api.baseUrl, ['submit', input, '--metadata', 'team=nights', '--metadata', 'x=a=b'], folder, {
      OPENAI_API_KEY: 'sk-1',
    });
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal(ended.stdout, 'batch_1\n');
    assert.match(bodies['POST /v1/files'] ?? '', /filename="in\.jsonl"[\s\S]*"custom_id":"a"/);
    assert.deepEqual(JSON.parse(bodies['POST /v1/batches'] ?? ''), {
      input_file_id: 'file-in',
      endpoint: '/v1/embeddings',
      completion_window: '24h',
      metadata: { team: 'nights', x: 'a=b' },
    });
    assert.equal(bodies['authorization'], 'Bearer sk-1');
  });

  it('waits through an API that is away, shows plain lines and downloads', async () => {
    const { api } = await apiThatEnds(COMPLETED);
    await using _api = api;
    const out = join(folder, 'results');
    const ended = await nightshift(api.baseUrl, ['submit', input, '-o', out], folder);
    assert.equal(ended.code, 0, ended.stderr);
    assert.match(ended.stderr, /trying again\n[\s\S]*in_progress \[█+░+\] 25% {2}1 of 4\n[\s\S]*completed/);
    assert.doesNotMatch(ended.stderr, /\x1b|\r/);
    assert.equal(ended.stdout, `batch_1\n${join(out, 'batch_1_output.jsonl')}\n`);
    assert.equal(await readFile(join(out, 'batch_1_output.jsonl'), 'utf8'), '{"custom_id":"a"}\n');
  });

  it('ends with 1 when a line failed, and downloads both files', async () => {
    const { api } = await apiThatEnds({ ...COMPLETED, error_file_id: 'file-err', request_counts: { total: 2, completed: 1, failed: 1 } });
    await using _api = api;
    const out = join(folder, 'failed');
    const ended = await nightshift(api.baseUrl, ['submit', input, '--wait', '-o', out], folder);
    assert.equal(ended.code, 1);
    assert.ok(existsSync(join(out, 'batch_1_error.jsonl')));
  });

  it('ends with 1 when the batch failed, and shows the errors', async () => {
    const { api } = await apiThatEnds({
      status: 'failed',
      failed_at: 1_700_000_002,
      errors: { object: 'list', data: [{ code: 'duplicate_custom_id', message: 'Twice.', param: null, line: 3 }] },
    });
    await using _api = api;
    const ended = await nightshift(api.baseUrl, ['submit', input, '--wait'], folder);
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /line 3: Twice\. \(duplicate_custom_id\)/);
  });

  it('says in one sentence that nothing answers', async () => {
    const ended = await nightshift('http://127.0.0.1:1/v1', ['submit', input], folder);
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /^Nothing answers at http:\/\/127\.0\.0\.1:1\/v1 .*\n$/);
  });

  it('repeats what the API says against it', async () => {
    await using api = await startFakeApi(() => ({ status: 400, body: { error: { message: 'File is too large.' } } }));
    const ended = await nightshift(api.baseUrl, ['submit', input], folder);
    assert.deepEqual([ended.code, ended.stderr], [1, 'File is too large.\n']);
  });

  it('ends with 2 for a wrong call, and explains itself', async () => {
    assert.equal((await nightshift('http://127.0.0.1:1/v1', ['submit'], folder)).code, 2);
    assert.equal((await nightshift('http://127.0.0.1:1/v1', ['submit', input, '--no-such'], folder)).code, 2);
    const help = await nightshift('http://127.0.0.1:1/v1', ['submit', '--help'], folder);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /--completion-window/);
  });

  it('names a file that is not there', async () => {
    const ended = await nightshift('http://127.0.0.1:1/v1', ['submit', 'nowhere.jsonl'], folder);
    assert.deepEqual([ended.code, ended.stderr], [1, 'nowhere.jsonl cannot be read.\n']);
  });
});

describe('nightshift status, list, cancel, download', () => {
  it('shows a batch', async () => {
    await using api = await startFakeApi(() => ({ body: aBatch({ metadata: { team: 'nights' } }) }));
    const { stdout, code } = await nightshift(api.baseUrl, ['status', 'batch_1'], folder);
    assert.equal(code, 0);
    assert.match(stdout, /status +in_progress\n[\s\S]*1 completed, 0 failed, 4 in all[\s\S]*"team":"nights"/);
  });

  it('lists batches and tells how to go on', async () => {
    await using api = await startFakeApi(() => ({
      body: { data: [aBatch(), aBatch({ id: 'batch_0', status: 'completed' })], has_more: true },
    }));
    const { stdout } = await nightshift(api.baseUrl, ['list', '--limit', '2'], folder);
    assert.deepEqual(api.calls, ['GET /v1/batches?limit=2']);
    assert.match(stdout, /batch_1 .* in_progress[\s\S]*batch_0 .* completed[\s\S]*--after batch_0/);
  });

  it('cancels', async () => {
    await using api = await startFakeApi(() => ({ body: aBatch({ status: 'cancelling' }) }));
    assert.equal((await nightshift(api.baseUrl, ['cancel', 'batch_1'], folder)).stdout, 'batch_1 is cancelling\n');
    assert.deepEqual(api.calls, ['POST /v1/batches/batch_1/cancel']);
  });

  it('downloads nothing of a batch that has not ended', async () => {
    await using api = await startFakeApi(() => ({ body: aBatch() }));
    const ended = await nightshift(api.baseUrl, ['download', 'batch_1'], folder);
    assert.deepEqual([ended.code, ended.stderr], [1, 'batch_1 is in_progress: its files come when it has ended.\n']);
  });

  it('repeats the 404 of an unknown batch', async () => {
    await using api = await startFakeApi(() => ({ status: 404, body: { error: { message: "No batch found with id 'x'." } } }));
    const ended = await nightshift(api.baseUrl, ['status', 'x'], folder);
    assert.deepEqual([ended.code, ended.stderr], [1, "No batch found with id 'x'.\n"]);
  });
});

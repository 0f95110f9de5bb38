import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { aBatch, nightshift, runInShell, startFakeApi } from './fake-api.ts';
import type { Batch } from '../../src/domain/batch.ts';

let folder: string;
before(async () => (folder = await mkdtemp(join(tmpdir(), 'nightshift-list-'))));
after(async () => await rm(folder, { recursive: true }));

const HOUR = 3600;
const now = Math.floor(Date.now() / 1000);
const MANY: Batch[] = Array.from({ length: 250 }, (_, n) =>
  aBatch({
    id: `batch_${n}`,
    created_at: now - n * HOUR - 60,
    status: n % 2 === 0 ? 'completed' : 'failed',
    metadata: { n: String(n) },
    errors: n % 2 === 0 ? null : { object: 'list', data: [{ code: 'empty_file', message: 'Empty \x1b[2Jfile.', param: null, line: null }] },
  }),
);

/** An API with these batches, in pages. */
async function apiOf(batches: readonly Batch[]) {
  return await startFakeApi((_method, path) => {
    const query = new URL(path, 'http://x').searchParams;
    const from = batches.findIndex(({ id }) => id === query.get('after')) + 1;
    const data = batches.slice(from, from + Number(query.get('limit')));
    return { body: { object: 'list', data, has_more: from + data.length < batches.length } };
  });
}

describe('nightshift list', () => {
  it('has a header, age, model, metadata and the reason of a failure; what comes next is on stderr', async () => {
    await using api = await apiOf(MANY);
    const { stdout, stderr } = await nightshift(api.baseUrl, ['list', '--limit', '2'], folder);
    assert.deepEqual(api.calls, ['GET /v1/batches?limit=2']);
    const [header = '', first = '', second = '', end] = stdout.split('\n');
    assert.match(header, /^ID +STATUS +AGE +MODEL +ENDPOINT +DONE +FAILED +METADATA OR ERROR$/);
    assert.match(first, /^batch_0 +completed +1 min \d s +m +\/v1\/chat\/completions +1\/4 +- +\{"n":"0"\}$/);
    assert.match(second, /^batch_1 +failed .* Empty \\x1b\[2Jfile\. \(empty_file\)$/);
    assert.deepEqual([end, stderr], ['', 'more: nightshift list --after batch_1\n']);
  });

  it('prints with --json what scripts need to go on', async () => {
    await using api = await apiOf(MANY);
    const listed = JSON.parse((await nightshift(api.baseUrl, ['list', '--limit', '3', '--json'], folder)).stdout);
    assert.deepEqual([listed.data.length, listed.has_more, listed.first_id, listed.last_id], [3, true, 'batch_0', 'batch_2']);
    const all = JSON.parse((await nightshift(api.baseUrl, ['list', '--all', '--json', '--after', 'batch_2'], folder)).stdout);
    assert.deepEqual([all.data.length, all.has_more], [247, false]);
  });

  it('finds by status and by age, over as many pages as it takes', async () => {
    await using api = await apiOf(MANY);
    const ids = async (...args: string[]) =>
      JSON.parse((await nightshift(api.baseUrl, ['list', '--json', ...args], folder)).stdout).data.map(({ id }: Batch) => id);
    assert.deepEqual(await ids('--since', '3h'), ['batch_0', 'batch_1', 'batch_2']);
    assert.deepEqual(await ids('--since', '5h', '--status', 'failed'), ['batch_1', 'batch_3']);
    assert.equal((await ids('--status', 'failed,expired', '--limit', '120')).length, 120);
    assert.deepEqual(await ids('--since', new Date((now - 2 * HOUR) * 1000).toISOString()), ['batch_0', 'batch_1']);
    for (const wrong of [
      ['--status', 'done'],
      ['--since', 'yesterday'],
      ['--limit', '0'],
    ])
      assert.equal((await nightshift(api.baseUrl, ['list', ...wrong], folder)).code, 2);
  });

  it('ends when an API ignores the cursor', async () => {
    await using api = await startFakeApi(() => ({ body: { data: MANY.slice(0, 3), has_more: true } }));
    const listed = JSON.parse((await nightshift(api.baseUrl, ['list', '--all', '--json'], folder)).stdout);
    assert.equal(listed.data.length, 6);
    assert.equal(api.calls.length, 2);
  });

  it('loses nothing in a pipe to a slow reader, and ends quietly when the reader leaves', async () => {
    await using api = await apiOf(MANY.map((batch) => ({ ...batch, metadata: { filling: 'x'.repeat(20_000) } })));
    const slow = await runInShell(api.baseUrl, 'nightshift list --json --all | (sleep 1; wc -c)', folder);
    assert.ok(Number(slow.stdout) > 5_000_000, `${slow.stdout} ${slow.stderr}`);
    const head = await runInShell(api.baseUrl, 'nightshift list --all | head -1', folder);
    assert.deepEqual([head.stdout.split(' ')[0], head.stderr.replace(/^API: .*\n/, '')], ['ID', '']);
  });
});

describe('nightshift files', () => {
  it('lists, uploads, and deletes, and goes on after a file that cannot be deleted', async () => {
    const file = {
      id: 'file-1',
      bytes: 1_500_000,
      created_at: 1_700_000_000,
      expires_at: null,
      filename: 'a\x1b[2J.jsonl',
      purpose: 'batch',
    };
    await using api = await startFakeApi((method, path) => {
      if (method === 'GET') return { body: { data: [file], has_more: false } };
      if (method === 'POST') return { body: file };
      if (path.endsWith('file-x')) return { status: 404, body: { error: { message: 'No such File object: file-x' } } };
      return { body: { id: 'file-1', deleted: true } };
    });
    const listed = await nightshift(api.baseUrl, ['files', 'list', '--purpose', 'batch'], folder);
    assert.match(listed.stdout, /^ID +PURPOSE .*\nfile-1 +batch +1\.5 MB +2023-11-14 22:13:20 +never +a\\x1b\[2J\.jsonl\n$/);
    assert.equal(listed.stderr, '1 files, 1.5 MB\n');
    const uploaded = await nightshift(api.baseUrl, ['files', 'upload', '-', '--purpose', 'user_data'], folder, {}, { input: 'any text' });
    assert.deepEqual([uploaded.code, uploaded.stdout], [0, 'file-1\n']);
    const removed = await nightshift(api.baseUrl, ['files', 'rm', 'file-x', 'file-1'], folder);
    assert.deepEqual(
      [removed.code, removed.stdout, removed.stderr],
      [1, 'file-1 is deleted\n', 'file-x: No such File object: file-x (HTTP 404)\n'],
    );
  });
});

describe('nightshift completion', () => {
  it('completes commands and options in bash', async () => {
    const complete = async (...words: string[]) => {
      const script = `source <(nightshift completion bash); COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _nightshift; echo "\${COMPREPLY[@]}"`;
      return (await runInShell(null, script, folder)).stdout.trim();
    };
    assert.equal(await complete('nightshift', 'su'), 'submit');
    assert.equal(await complete('nightshift', 'files', 'r'), 'rm');
    assert.equal(await complete('nightshift', 'files', 'get', '--f'), '--force');
    assert.equal(await complete('nightshift', 'list', '--s'), '--status --since');
    assert.equal(await complete('nightshift', 'completion', ''), 'bash zsh fish');
  });

  it('prints scripts for zsh and fish that name every command, and refuses another shell', async () => {
    for (const shell of ['zsh', 'fish']) {
      const { stdout } = await nightshift(null, ['completion', shell], folder);
      for (const name of ['submit', 'doctor', 'rm', 'idempotency-key', 'worker']) assert.ok(stdout.includes(name), `${shell}: ${name}`);
    }
    assert.equal((await nightshift(null, ['completion', 'cmd'], folder)).code, 2);
  });
});

describe('nightshift usage', () => {
  const answer = {
    from: '2026-05-01',
    to: '2026-05-02',
    group_by: ['model', 'day'],
    data: [{ model: 'm', day: '2026-05-01', requests: 1200, failed: 3, input_tokens: 5, output_tokens: 6, total_tokens: 11 }],
  };

  it('prints a table of the groups, CSV, or the answer of the API', async () => {
    await using api = await startFakeApi((_method, path) =>
      path.includes('format=csv') ? { body: 'model,requests\r\nm,3\r\n', headers: { 'content-type': 'text/csv' } } : { body: answer },
    );
    const options = ['--from', '2026-05-01', '--to', '2026-05-02', '--by', 'model,day'];
    const shown = await nightshift(api.baseUrl, ['usage', ...options], folder);
    assert.match(
      shown.stdout,
      /^MODEL +DAY +REQUESTS +FAILED +INPUT TOKENS +OUTPUT TOKENS +TOTAL TOKENS\nm +2026-05-01 +1,200 +3 +5 +6 +11\n$/,
    );
    assert.equal(api.calls[0], 'GET /v1/nightshift/usage?from=2026-05-01&to=2026-05-02&group_by=model%2Cday&format=json');
    assert.equal((await nightshift(api.baseUrl, ['usage', '--csv'], folder)).stdout, 'model,requests\nm,3\n');
    assert.deepEqual(JSON.parse((await nightshift(api.baseUrl, ['usage', '--json'], folder)).stdout), answer);
  });

  it('says that another API has no usage', async () => {
    await using api = await startFakeApi(() => ({ body: {} }));
    const { code, stderr } = await nightshift(api.baseUrl, ['usage'], folder);
    assert.equal(code, 1);
    assert.match(stderr, /no usage\. Only Nightshift has this call/);
  });
});

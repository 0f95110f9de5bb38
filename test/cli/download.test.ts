import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { aBatch, type Answer, nightshift, runInShell, startFakeApi } from './fake-api.ts';

const CONTENT = Array.from({ length: 20_000 }, (_, n) => `{"custom_id":"line-${n}"}\n`).join('');
const ENDED = aBatch({ status: 'completed', output_file_id: 'file-out', request_counts: { total: 1, completed: 1, failed: 0 } });
let base: string;
let folder: string;
let path: string;

before(async () => (base = await mkdtemp(join(tmpdir(), 'nightshift-download-'))));
after(async () => await rm(base, { recursive: true }));
beforeEach(async () => {
  folder = await mkdtemp(join(base, 'case-'));
  path = join(folder, 'batch_1_output.jsonl');
});

/** An API with one output file. `serve` may change an answer; `ranges` are the `Range` headers that came. */
async function apiWith(serve: (answer: Exclude<Answer, string>, call: number) => Answer = (answer) => answer, content = CONTENT) {
  const ranges: (string | undefined)[] = [];
  const conditions: (string | undefined)[] = [];
  const api = await startFakeApi((_method, url, _body, headers) => {
    if (url === '/v1/files/file-out') return { body: { id: 'file-out', bytes: content.length, filename: '../../etc/out.jsonl' } };
    if (url !== '/v1/files/file-out/content') return { body: ENDED };
    ranges.push(headers.range);
    conditions.push(headers['if-range']?.toString());
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    if (from > 0 && from >= content.length)
      return serve(
        { status: 416, body: { error: { message: 'no' } }, headers: { 'content-range': `bytes */${content.length}` } },
        ranges.length,
      );
    const isPart = headers.range !== undefined;
    const partial = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` };
    return serve({ status: isPart ? 206 : 200, body: content.slice(from), headers: isPart ? partial : {} }, ranges.length);
  });
  return { api, ranges, conditions };
}

describe('nightshift download', () => {
  it('goes on where the connection broke, and checks the validator of the API', async () => {
    const { api, ranges, conditions } = await apiWith((answer, call) => ({
      ...answer,
      headers: { ...answer.headers, etag: '"v1"' },
      ...(call === 1 ? { breaksAfter: 100_000 } : {}),
    }));
    await using _api = api;
    const ended = await nightshift(api.baseUrl, ['download', 'batch_1'], folder);
    assert.deepEqual([ended.code, ended.stdout], [0, 'batch_1_output.jsonl\n'], ended.stderr);
    assert.equal(await readFile(path, 'utf8'), CONTENT);
    assert.deepEqual(
      [ranges, conditions],
      [
        [undefined, 'bytes=100000-'],
        [undefined, '"v1"'],
      ],
    );
    assert.ok(!existsSync(`${path}.part`));
  });

  it('keeps what came before a failure, and goes on from it in the next call', async () => {
    const broken = await apiWith((answer, call) => (call === 1 ? { ...answer, breaksAfter: 50_000 } : { status: 400, body: {} }));
    await using _broken = broken.api;
    assert.equal((await nightshift(broken.api.baseUrl, ['download', 'batch_1'], folder)).code, 1);
    assert.equal(await readFile(`${path}.part`, 'utf8'), CONTENT.slice(0, 50_000));
    assert.ok(!existsSync(path));

    const { api, ranges } = await apiWith();
    await using _api = api;
    assert.equal((await nightshift(api.baseUrl, ['download', 'batch_1'], folder)).code, 0);
    assert.deepEqual(ranges, ['bytes=50000-']);
    assert.equal(await readFile(path, 'utf8'), CONTENT);
  });

  it('takes a part that is complete, and begins anew where a part cannot be right', async () => {
    const { api, ranges } = await apiWith();
    await using _api = api;
    await writeFile(`${path}.part`, CONTENT);
    assert.equal((await nightshift(api.baseUrl, ['download', 'batch_1'], folder)).code, 0);
    await rm(path);
    await writeFile(`${path}.part`, `${CONTENT}and more`);
    assert.equal((await nightshift(api.baseUrl, ['download', 'batch_1'], folder)).code, 0);
    assert.equal(await readFile(path, 'utf8'), CONTENT);
    assert.deepEqual(ranges, [`bytes=${CONTENT.length}-`, `bytes=${CONTENT.length + 8}-`, undefined]);
  });

  it('works with an API that ignores ranges', async () => {
    const { api } = await apiWith((answer) => ({ ...answer, status: 200, body: CONTENT, headers: {} }));
    await using _api = api;
    await writeFile(`${path}.part`, CONTENT.slice(0, 70_001));
    assert.equal((await nightshift(api.baseUrl, ['download', 'batch_1'], folder)).code, 0);
    assert.equal(await readFile(path, 'utf8'), CONTENT);
  });

  it('overwrites nothing without --force, and fetches nothing that is there already', async () => {
    const { api, ranges } = await apiWith();
    await using _api = api;
    await writeFile(path, 'mine');
    const refused = await nightshift(api.baseUrl, ['download', 'batch_1'], folder);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /batch_1_output\.jsonl is there already.*--force/);
    assert.equal(await readFile(path, 'utf8'), 'mine');
    assert.equal((await nightshift(api.baseUrl, ['download', 'batch_1', '--force'], folder)).code, 0);
    assert.equal(await readFile(path, 'utf8'), CONTENT);
    const again = await nightshift(api.baseUrl, ['download', 'batch_1', '--json'], folder);
    assert.deepEqual([again.code, JSON.parse(again.stdout).output_path, ranges.length], [0, 'batch_1_output.jsonl', 1]);
  });

  it('prints the output file with -o -, whole to a slow reader and quietly to one that leaves', async () => {
    const { api } = await apiWith();
    await using _api = api;
    const slow = await runInShell(api.baseUrl, 'nightshift download batch_1 -o - | (sleep 1; wc -c)', folder);
    assert.equal(Number(slow.stdout), CONTENT.length, slow.stderr);
    const head = await runInShell(api.baseUrl, 'nightshift download batch_1 -o - | head -1', folder);
    assert.deepEqual([head.stdout, head.stderr.replace(/^API: .*\n/, '')], ['{"custom_id":"line-0"}\n', '']);
  });

  it('stays in its folder whatever the API calls a batch or a file', async () => {
    await using api = await startFakeApi((_method, url) =>
      url.endsWith('/content') ? { body: 'x\n' } : { body: { ...ENDED, id: '../../evil', filename: '../../evil' } },
    );
    const results = join(folder, 'a', 'b', 'results');
    const ended = await nightshift(api.baseUrl, ['download', 'batch_1', '-o', results], folder);
    assert.equal(ended.stdout, `${join(results, '__.._evil_output.jsonl')}\n`, ended.stderr);
    const got = await nightshift(api.baseUrl, ['files', 'get', 'file-out'], folder);
    assert.equal(got.stdout, '__.._evil\n', got.stderr);
  });

  it('downloads nothing of a batch that has not ended, and says what to do', async () => {
    await using api = await startFakeApi(() => ({ body: aBatch() }));
    const ended = await nightshift(api.baseUrl, ['download', 'batch_1'], folder);
    const message = 'batch_1 is in_progress: its files come when it has ended. Wait for it: nightshift wait batch_1\n';
    assert.deepEqual([ended.code, ended.stderr], [1, message]);
  });

  it('gives one sentence and no stack trace where files cannot be written', async () => {
    const { api } = await apiWith();
    await using _api = api;
    await writeFile(join(folder, 'file'), '');
    for (const target of ['file', 'file/below', '/proc/x', '/proc/x/y']) {
      const ended = await nightshift(api.baseUrl, ['download', 'batch_1', '-o', target], folder);
      assert.equal(ended.code, 1);
      assert.match(ended.stderr, /^Results cannot be written to .*: .*--output\.\n$/);
    }
  });
});

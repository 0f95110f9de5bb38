import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Batch } from '../../src/domain/batch.ts';
import { aBatch, type Answer, type FakeApi, nightshift, runInShell, startFakeApi } from './fake-api.ts';

let base: string;
let folder: string;
before(async () => (base = await mkdtemp(join(tmpdir(), 'nightshift-results-'))));
after(async () => await rm(base, { recursive: true }));
beforeEach(async () => (folder = await mkdtemp(join(base, 'case-'))));

/** A result as the API writes it: with an exact number, which `JSON.parse` would round. */
function result(line: number, id: string, outcome: 'completed' | 'failed' | 'expired', from: string): string {
  const status = outcome === 'completed' ? 200 : outcome === 'failed' ? 500 : null;
  const error = outcome === 'completed' ? null : { code: outcome === 'expired' ? 'batch_expired' : 'server_error', message: 'no' };
  const head = { id: `line_${line}`, object: 'batch.result', line, custom_id: id, outcome, status, error, attempts: 2, milliseconds: 1234 };
  const tail = {
    usage: status === 200 ? { total_tokens: 7 } : null,
    result_id: `r-${from}-${id}`,
    request_id: status === null ? null : 'q',
  };
  const body = status === null ? 'null' : `{"by":"${from}","n":1.00,"big":12345678901234567890}`;
  return `${JSON.stringify({ ...head, ...tail }).slice(0, -1)},"body_left_out":false,"body":${body}}`;
}

/** An API with these batches and their results, which it pages by two. Files contain their id. */
async function apiWith(batches: Record<string, { batch?: Partial<Batch>; results: string[] | Answer }>): Promise<FakeApi> {
  return await startFakeApi((_method, url) => {
    const { pathname, searchParams } = new URL(url, 'http://api');
    const [, , kind, id = '', call] = pathname.split('/');
    if (kind === 'files') return { body: `${id}\n` };
    if (id === '') return { body: { data: Object.entries(batches).map(([each, { batch }]) => aBatch({ id: each, ...batch })) } };
    const found = batches[id];
    if (found === undefined) return { status: 404, body: { error: { message: `No batch found with id '${id}'.` } } };
    const batch = aBatch({ id, status: 'completed', ...found.batch });
    if (call === undefined) return { body: batch };
    if (!Array.isArray(found.results)) return found.results;
    const after = Number(searchParams.get('after')?.slice(5) ?? 0);
    const wanted = found.results.filter((each) => JSON.parse(each).line > after);
    const page = wanted.slice(0, 2);
    const last = JSON.stringify(page.length === 0 ? null : JSON.parse(page.at(-1) ?? '').id);
    const headers: Record<string, string> = batch.status === 'in_progress' ? { 'x-nightshift-incomplete': 'true' } : {};
    return { headers, body: `{"object":"list","data":[${page.join(',')}],"last_id":${last},"has_more":${wanted.length > 2}}` };
  });
}

const lines = (text: string) => text.trimEnd().split('\n');
const madeBy = (text: string) => lines(text).map((line) => [JSON.parse(line).custom_id, JSON.parse(line).id.split('-')[1]]);

describe('nightshift results', () => {
  const results = [result(1, 'a', 'completed', 'x'), result(2, 'b', 'failed', 'x'), result(4, 'c', 'expired', 'x')];

  it('prints a table of the lines, page by page, and says that the batch still runs', async () => {
    await using api = await apiWith({ batch_1: { batch: { status: 'in_progress' }, results } });
    const ended = await nightshift(api.baseUrl, ['results', 'batch_1', '--all'], folder);
    assert.deepEqual([ended.code, lines(ended.stdout).length], [0, 4], ended.stderr);
    assert.match(
      ended.stdout,
      /^LINE +CUSTOM_ID +OUTCOME .*\n1 +a +completed +200 +2 +1\.2 s +7\n2 +b +failed +500 +2 .* server_error: no\n4 +c +expired +- /,
    );
    assert.match(ended.stderr, /has not ended/);
    const some = await nightshift(
      api.baseUrl,
      ['results', 'batch_1', '--limit', '2', '--status', 'completed,failed', '--after', '0'],
      folder,
    );
    assert.match(some.stderr, /more: nightshift results batch_1 --status completed,failed --after 2/);
    assert.match(api.calls.at(-1) ?? '', /limit=2&after=line_0&status=completed%2Cfailed$/);
  });

  it('prints JSON with the bodies as they are', async () => {
    await using api = await apiWith({ batch_1: { results } });
    const ended = await nightshift(api.baseUrl, ['results', 'batch_1', '--body', '--custom-id', 'a b'], folder);
    assert.match(lines(ended.stdout)[0] ?? '', /"body":{"by":"x","n":1.00,"big":12345678901234567890}/);
    assert.match(api.calls.at(-1) ?? '', /custom_id=a\+b&body=true$/);
    const wrong = await nightshift(api.baseUrl, ['results', 'batch_1', '--status', 'done'], folder);
    assert.deepEqual([wrong.code, /completed, failed, expired, cancelled/.test(wrong.stderr)], [2, true]);
  });
});

describe('nightshift download --partial', () => {
  it('writes what is known of a batch that runs, and replaces nothing unasked', async () => {
    const results = [result(1, 'a', 'completed', 'x'), result(3, 'b', 'failed', 'x'), result(7, 'c', 'expired', 'x')];
    await using api = await apiWith({ batch_1: { batch: { status: 'in_progress' }, results } });
    const ended = await nightshift(api.baseUrl, ['download', 'batch_1', '--partial'], folder);
    assert.deepEqual([ended.code, ended.stdout], [0, 'batch_1_partial.jsonl\n'], ended.stderr);
    const text = await readFile(join(folder, 'batch_1_partial.jsonl'), 'utf8');
    assert.deepEqual(lines(text), [
      '{"id":"r-x-a","custom_id":"a","response":{"status_code":200,"request_id":"q","body":{"by":"x","n":1.00,"big":12345678901234567890}},"error":null}',
      '{"id":"r-x-b","custom_id":"b","response":{"status_code":500,"request_id":"q","body":{"by":"x","n":1.00,"big":12345678901234567890}},"error":null}',
      '{"id":"r-x-c","custom_id":"c","response":null,"error":{"code":"batch_expired","message":"no"}}',
    ]);
    const again = await nightshift(api.baseUrl, ['download', 'batch_1', '--partial'], folder);
    assert.deepEqual([again.code, /--force/.test(again.stderr)], [1, true]);
    assert.equal((await nightshift(api.baseUrl, ['download', 'batch_1', '--partial', '--force'], folder)).code, 0);
    const printed = await nightshift(api.baseUrl, ['download', 'batch_1', '--partial', '-o', '-'], folder);
    assert.equal(printed.stdout, text);
  });

  it('leaves no file when a page fails, and says what an answer is too long for', async () => {
    const long = result(2, 'b', 'completed', 'x').replace('"body_left_out":false', '"body_left_out":true');
    await using api = await apiWith({
      batch_1: { results: [result(1, 'a', 'completed', 'x'), long] },
      batch_2: { results: { status: 404, body: { error: { message: 'The results are gone', code: 'results_gone' } } } },
    });
    const tooLong = await nightshift(api.baseUrl, ['download', 'batch_1', '--partial'], folder);
    assert.deepEqual([tooLong.code, /line 2 of batch_1 is too long.*nightshift download batch_1/.test(tooLong.stderr)], [1, true]);
    const gone = await nightshift(api.baseUrl, ['download', 'batch_2', '--partial'], folder);
    assert.deepEqual([gone.code, /The results are gone/.test(gone.stderr)], [1, true]);
    assert.deepEqual(await readdir(folder), []);
  });
});

describe('nightshift download --merged', () => {
  const family = {
    batch_1: {
      batch: { nightshift: { retried_by: ['batch_3', 'batch_2'] } },
      results: ['a', 'b', 'c', 'd', 'e'].map((id, at) => result(at + 1, id, id === 'a' ? 'completed' : 'failed', '1')),
    },
    // `c` fails again, and `d` expires.
    batch_2: {
      batch: { created_at: 1_700_000_100, nightshift: { retry_of: 'batch_1', retried_by: ['batch_4'] } },
      results: [result(1, 'b', 'completed', '2'), result(2, 'c', 'failed', '2'), result(3, 'd', 'expired', '2')],
    },
    batch_3: {
      batch: { created_at: 1_700_000_200, nightshift: { retry_of: 'batch_1', retried_by: ['batch_deleted'] } },
      results: [result(1, 'b', 'failed', '3'), result(2, 'e', 'failed', '3')],
    },
    batch_4: {
      batch: { created_at: 1_700_000_300, nightshift: { retry_of: 'batch_2' } },
      results: [result(1, 'c', 'completed', '4'), result(2, 'd', 'failed', '4')],
    },
  };
  const expected = [
    ['a', '1'],
    ['b', '2'],
    ['c', '4'],
    ['d', '4'],
    ['e', '3'],
  ];

  it('puts a batch, its retries and their retries into one file, whichever of them is named', async () => {
    await using api = await apiWith(family);
    for (const id of ['batch_1', 'batch_3', 'batch_4']) {
      const ended = await nightshift(api.baseUrl, ['download', id, '--merged', '--force'], folder);
      assert.deepEqual([ended.code, ended.stdout], [0, 'batch_1_merged.jsonl\n'], ended.stderr);
      assert.deepEqual(madeBy(await readFile(join(folder, 'batch_1_merged.jsonl'), 'utf8')), expected);
    }
  });

  it('takes what is known of a retry that runs, and lines that only a retry has', async () => {
    const { batch_1: root, batch_2: retry } = family;
    await using api = await apiWith({
      batch_1: { ...root, results: root.results.slice(0, 1) },
      batch_2: { ...retry, batch: { ...retry.batch, status: 'in_progress' } },
    });
    const ended = await nightshift(api.baseUrl, ['download', 'batch_2', '--merged', '-o', '-'], folder);
    assert.match(ended.stderr, /batch_2 is in_progress: its lines so far are taken/);
    assert.deepEqual(madeBy(ended.stdout), [
      ['a', '1'],
      ['b', '2'],
      ['c', '2'],
      ['d', '2'],
    ]);
    const both = await nightshift(api.baseUrl, ['download', 'batch_2', '--merged', '--partial'], folder);
    assert.equal(both.code, 2);
  });

  it('replaces no file of another one', async () => {
    await using api = await apiWith(family);
    await writeFile(join(folder, 'batch_1_merged.jsonl'), 'mine');
    const ended = await nightshift(api.baseUrl, ['download', 'batch_1', '--merged'], folder);
    assert.equal(ended.code, 1);
    assert.equal(await readFile(join(folder, 'batch_1_merged.jsonl'), 'utf8'), 'mine');
  });

  it('prints a long file as it is, without a warning', async () => {
    const long = Array.from({ length: 20 }, (_, at) => result(at + 1, `r\u007f${at}`, 'completed', 'x'.repeat(20_000)));
    await using api = await apiWith({ batch_1: { results: long } });
    const ended = await runInShell(api.baseUrl, 'nightshift download batch_1 --merged -o - | cat > all', folder);
    assert.deepEqual([ended.code, ended.stderr], [0, '']);
    const customIds = lines(await readFile(join(folder, 'all'), 'utf8')).map((line) => JSON.parse(line).custom_id);
    assert.deepEqual([customIds.length, customIds[19]], [20, 'r\u007f19']);
  });
});

describe('nightshift download of a group with lines that were run again', () => {
  const group = `group_${'a'.repeat(24)}`;
  const inPart = (part: number, batch: Partial<Batch>): Partial<Batch> => ({
    status: 'completed',
    metadata: { nightshift_group: group, nightshift_part: `${part} of 2, 2 requests` },
    ...batch,
  });
  const groupWith = (ofRetry: string[] | Answer) => ({
    batch_3: { batch: inPart(1, { nightshift: { retry_of: 'batch_1' } }), results: ofRetry },
    batch_2: { batch: inPart(2, { output_file_id: 'file-2' }), results: [] },
    batch_1: { batch: inPart(1, { error_file_id: 'file-1' }), results: [result(1, 'a', 'completed', '1'), result(2, 'b', 'expired', '1')] },
  });
  const completed = groupWith([result(1, 'b', 'completed', '3')]);
  const [output, error] = [`${group}_output.jsonl`, `${group}_error.jsonl`];

  it('reads the results once, and writes only files that have lines', async () => {
    await using api = await apiWith(completed);
    const ended = await nightshift(api.baseUrl, ['download', group], folder);
    assert.deepEqual([ended.code, ended.stdout, await readdir(folder)], [0, `${output}\n`, [output]], ended.stderr);
    const text = await readFile(join(folder, output), 'utf8');
    assert.match(text, /^\{"id":"r-1-a".*\n\{"id":"r-3-b".*\nfile-2\n$/);
    assert.equal(api.calls.filter((call) => call.includes('/results')).length, 2);
    const printed = await nightshift(api.baseUrl, ['download', group, '-o', '-'], folder);
    assert.equal(printed.stdout, text);
  });

  it('puts lines that failed again into the error file', async () => {
    await using api = await apiWith(groupWith([result(1, 'b', 'failed', '3')]));
    const ended = await nightshift(api.baseUrl, ['download', group], folder);
    assert.equal(ended.stdout, `${output}\n${error}\n`, ended.stderr);
    assert.match(await readFile(join(folder, error), 'utf8'), /^\{"id":"r-3-b".*\n$/);
    await using repaired = await apiWith(completed);
    const refused = await nightshift(repaired.baseUrl, ['download', group], folder);
    assert.deepEqual([refused.code, /lines were run again since. Give --force/.test(refused.stderr)], [1, true]);
    const again = await nightshift(repaired.baseUrl, ['download', group, '--force'], folder);
    assert.deepEqual([again.stdout, await readdir(folder)], [`${output}\n`, [output]], again.stderr);
  });

  it('takes neither --partial nor --merged', async () => {
    await using api = await apiWith(completed);
    for (const option of ['--partial', '--merged']) {
      const ended = await nightshift(api.baseUrl, ['download', group, option], folder);
      assert.deepEqual([ended.code, await readdir(folder)], [2, []], ended.stderr);
    }
  });

  it('leaves no file after a failure', async () => {
    await using api = await apiWith(groupWith({ status: 404, body: { error: { message: 'The results are gone' } } }));
    const ended = await nightshift(api.baseUrl, ['download', group], folder);
    assert.deepEqual([ended.code, await readdir(folder)], [1, []], ended.stderr);
  });

  it('ends quietly when the reader of its output leaves', async () => {
    const long = Array.from({ length: 20 }, (_, at) => result(at + 1, `r${at}`, 'completed', 'x'.repeat(20_000)));
    await using api = await apiWith(groupWith(long));
    const head = await runInShell(api.baseUrl, `set -o pipefail; nightshift download ${group} -o - | head -c 5`, folder);
    assert.deepEqual([head.code, head.stdout, head.stderr], [0, '{"id"', '']);
  });
});

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { groupIdOf, type Group, sumOf } from '../../src/cli/group.ts';
import type { Batch } from '../../src/domain/batch.ts';
import { aBatch, nightshift, startFakeApi } from './fake-api.ts';

const line = (id: number) => `{"custom_id":"r${id}","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}\n`;
const lines = (count: number) => Array.from({ length: count }, (_, at) => line(at)).join('');

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nightshift-group-'));
});
after(async () => await rm(folder, { recursive: true }));

/** An API that keeps files and batches; a batch has ended as soon as it is asked for. `create` may answer a create instead. */
async function keepingApi(given: {
  maxRequests: number;
  create?: (batches: readonly Batch[]) => 'hang up' | { status: number; body: unknown } | null;
}) {
  const files = new Map<string, string>();
  const batches: Batch[] = [];
  const keys: (string | undefined)[] = [];
  const api = await startFakeApi(
    (method, path, body, headers) => {
      const [, , kind = '', id = '', of] = path.replace(/\?.*/, '').split('/');
      if (kind === 'files' && method === 'POST') {
        const [, name = '', content = ''] = /filename="([^"]*)"\r\n[^\r]*\r\n\r\n([\s\S]*)\r\n--nightshift/.exec(body.toString()) ?? [];
        const made = `file-${files.size}`;
        files.set(made, content);
        names.set(made, name);
        return { body: { id: made, filename: name, bytes: content.length, purpose: 'batch' } };
      }
      if (kind === 'files' && id === '') {
        return {
          body: { data: [...files].map(([each, text]) => ({ id: each, filename: names.get(each), bytes: text.length, purpose: 'batch' })) },
        };
      }
      if (kind === 'files' && of === 'content') return { body: files.get(id) ?? '' };
      if (kind === 'files') return { body: { id, bytes: files.get(id)?.length ?? 0 } };
      if (kind === 'batches' && method === 'POST' && id === '') {
        const instead = given.create?.(batches) ?? null;
        if (instead !== null) return instead;
        keys.push(headers['idempotency-key']?.toString());
        const { input_file_id, metadata } = JSON.parse(body.toString());
        const number = batches.length + 1;
        const total = (files.get(input_file_id) ?? '').split('\n').length;
        files.set(`file-out${number}`, `{"batch":${number}}\n`);
        batches.push(
          aBatch({
            id: `batch_${number}`,
            input_file_id,
            metadata,
            status: 'validating',
            request_counts: { total: 0, completed: 0, failed: 0 },
          }),
        );
        ends.set(`batch_${number}`, {
          status: 'completed',
          output_file_id: `file-out${number}`,
          request_counts: { total, completed: total, failed: 0 },
        });
        return { body: batches.at(-1) };
      }
      if (kind === 'batches' && of === 'cancel') {
        const found = batches.find((batch) => batch.id === id);
        if (found !== undefined) found.status = 'cancelling';
        return { body: found };
      }
      if (kind === 'batches' && id !== '') return { body: Object.assign(batches.find((batch) => batch.id === id) ?? {}, ends.get(id)) };
      return { body: { data: batches.toReversed(), has_more: false } };
    },
    { 'x-nightshift-limits': { max_requests_per_batch: given.maxRequests } },
  );
  const names = new Map<string, string>();
  const ends = new Map<string, Partial<Batch>>();
  return { api, files, batches, keys, ends };
}

describe('nightshift submit of an input larger than a batch', () => {
  it('cuts it at the limits that the API tells, waits for all batches, and joins results in the order of the input', async () => {
    const { api, files, batches, ends } = await keepingApi({ maxRequests: 3 });
    await using _api = api;
    await writeFile(join(folder, 'big.jsonl'), `\n${lines(7)}`);
    const done = await nightshift(api.baseUrl, ['submit', 'big.jsonl', '-o', 'out', '--metadata', 'team=a'], folder);
    assert.equal(done.code, 0, done.stderr);
    const [group = '', output] = done.stdout.split('\n');
    assert.match(group, /^group_[0-9a-f]{24}$/);
    assert.deepEqual(
      batches.map(({ metadata }) => metadata),
      [
        { team: 'a', nightshift_group: group, nightshift_part: '1 of 3, 3 requests' },
        { team: 'a', nightshift_group: group, nightshift_part: '2 of 3, 3 requests' },
        { team: 'a', nightshift_group: group, nightshift_part: '3 of 3, 1 requests' },
      ],
    );
    const sent = batches.map(({ input_file_id }) => files.get(input_file_id));
    assert.equal(`${sent.join('\n')}\n`, lines(7));
    assert.equal(output, `out/${group}_output.jsonl`);
    assert.equal(await readFile(join(folder, output), 'utf8'), '{"batch":1}\n{"batch":2}\n{"batch":3}\n');
    assert.match(done.stderr, /\[3\/3 batches\] completed .*7 of 7/);
    assert.match(done.stderr, /requests {4}7 completed, 0 failed, 7 in all/);

    const again = await nightshift(api.baseUrl, ['download', group, '-o', '-'], folder);
    assert.deepEqual([again.code, again.stdout], [0, '{"batch":1}\n{"batch":2}\n{"batch":3}\n'], again.stderr);
    Object.assign(ends.get('batch_2') ?? {}, {
      status: 'failed',
      errors: { object: 'list', data: [{ code: 'c', message: 'bad', param: null, line: 2 }] },
    });
    const status = await nightshift(api.baseUrl, ['status', group, '--wait'], folder);
    assert.equal(status.code, 0, 'batches that have ended are not asked for again');
    Object.assign(batches[1] ?? {}, ends.get('batch_2'));
    const failed = await nightshift(api.baseUrl, ['status', group], folder);
    assert.equal(failed.code, 4);
    assert.match(failed.stdout, /batches {5}3: 2 completed, 1 failed\n[\s\S]*part {8}2, batch_2 is failed: line 2: bad \(c\)\n/);
    assert.equal((await nightshift(api.baseUrl, ['wait', group], folder)).stdout, `${group} failed\n`);
  });

  it('reads gzip and standard input, and leaves no copy behind', async () => {
    const temporary = await mkdtemp(join(folder, 'tmp-'));
    const { api, batches } = await keepingApi({ maxRequests: 2 });
    await using _api = api;
    const done = await nightshift(api.baseUrl, ['submit', '-'], folder, { TMPDIR: temporary }, { input: gzipSync(lines(5)) });
    assert.deepEqual([done.code, batches.length], [0, 3], done.stderr);
    assert.deepEqual(await readdir(temporary), []);
  });

  it('goes on where it was interrupted, without a second upload or batch of what is there', async () => {
    let isBroken = true;
    const { api, files, batches, keys } = await keepingApi({
      maxRequests: 2,
      create: (made) => (isBroken && made.length === 1 ? { status: 400, body: { error: { message: 'broken' } } } : null),
    });
    await using _api = api;
    await writeFile(join(folder, 'resumed.jsonl'), lines(6));
    const first = await nightshift(api.baseUrl, ['submit', 'resumed.jsonl'], folder);
    assert.deepEqual([first.code, batches.length, files.size], [1, 1, 3], first.stderr);
    isBroken = false;
    const second = await nightshift(api.baseUrl, ['submit', 'resumed.jsonl'], folder);
    assert.deepEqual([second.code, second.stdout, batches.length], [0, first.stdout, 3], second.stderr);
    assert.match(second.stderr, /1 of 3 batches are there/);
    const uploads = api.calls.filter((call) => call === 'POST /v1/files').length;
    assert.equal(uploads, 3, 'the part whose create failed is not uploaded again');
    const third = await nightshift(api.baseUrl, ['submit', 'resumed.jsonl'], folder);
    assert.deepEqual([third.code, batches.length], [0, 3]);
    const anew = await nightshift(api.baseUrl, ['submit', 'resumed.jsonl', '--idempotency-key', 'k'], folder);
    assert.deepEqual([anew.code, batches.length, new Set(keys).size], [0, 6, 6], anew.stderr);
  });

  it('sends nothing if a line is wrong, or a custom_id is repeated in another part', async () => {
    const { api, batches } = await keepingApi({ maxRequests: 2 });
    await using _api = api;
    const done = await nightshift(api.baseUrl, ['submit', '-'], folder, {}, { input: lines(4) + line(0) });
    assert.equal(done.code, 1);
    assert.match(done.stderr, /line 5: .*duplicate_custom_id[\s\S]*nothing was sent/);
    assert.deepEqual([batches.length, api.calls.some((call) => call.startsWith('POST'))], [0, false]);
  });

  it('cancels all batches of a group, and says so where there is none', async () => {
    const { api, batches } = await keepingApi({ maxRequests: 2 });
    await using _api = api;
    const made = await nightshift(api.baseUrl, ['submit', '-'], folder, {}, { input: lines(4) });
    const cancelled = await nightshift(api.baseUrl, ['cancel', made.stdout.trim()], folder);
    assert.deepEqual([cancelled.code, batches.map(({ status }) => status)], [0, ['cancelling', 'cancelling']], cancelled.stderr);
    const unknown = await nightshift(api.baseUrl, ['status', `group_${'0'.repeat(24)}`], folder);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /No batch belongs to group_0/);
  });
});

describe('a group that was made in part', () => {
  const group = `group_${'b'.repeat(24)}`;
  const member = (part: number, of: number, given: Partial<Batch>) =>
    aBatch({ id: `batch_${part}`, metadata: { nightshift_group: group, nightshift_part: `${part} of ${of}, 2 requests` }, ...given });
  const apiOf = async (batches: Batch[]) =>
    await startFakeApi((_method, path) => ({ body: path.startsWith('/v1/batches?') ? { data: batches.toReversed() } : batches[0] }));

  it('makes wait end with 4 if a part was never submitted', async () => {
    await using api = await apiOf([member(1, 2, { status: 'completed' })]);
    const waited = await nightshift(api.baseUrl, ['wait', group], folder);
    assert.deepEqual([waited.code, waited.stdout], [4, `${group} completed\n`], waited.stderr);
  });

  it('retries nothing while one of its batches runs', async () => {
    await using api = await apiOf([member(1, 2, { status: 'completed', error_file_id: 'file-1' }), member(2, 2, {})]);
    const retried = await nightshift(api.baseUrl, ['retry', group], folder);
    assert.deepEqual([retried.code, api.calls.filter((call) => call.startsWith('POST'))], [1, []]);
    assert.match(retried.stderr, /1 of the batches of group_b+ have not ended. Wait for them: nightshift wait group_b/);
  });
});

describe('sumOf', () => {
  const part = (number: number, requests: number | null, batches: Batch[]) => ({ part: number, requests, batches });
  const counted = (id: string, status: Batch['status'], [total, completed, failed]: [number, number, number], retryOf?: string) =>
    aBatch({
      id,
      status,
      request_counts: { total, completed, failed },
      ...(retryOf === undefined ? {} : { nightshift: { retry_of: retryOf } }),
    });

  it('counts a line that was run again once, and has the worst end of those that decide', () => {
    const group: Group = {
      id: 'group_a',
      parts: [
        part(1, 10, [counted('a', 'expired', [10, 6, 1]), counted('b', 'completed', [4, 3, 1], 'a')]),
        part(2, 5, [counted('c', 'completed', [5, 5, 0])]),
      ],
    };
    assert.partialDeepStrictEqual(sumOf(group), { status: 'completed', request_counts: { total: 15, completed: 14, failed: 1 } });
  });

  it('counts a failure of the last run only, also if the retry runs lines that expired', () => {
    const batches = [counted('a', 'expired', [100, 40, 10]), counted('b', 'completed', [60, 55, 5], 'a')];
    const { request_counts: counts } = sumOf({ id: 'group_a', parts: [part(1, 100, batches)] });
    assert.deepEqual(counts, { total: 100, completed: 95, failed: 5 });
  });

  it('is in progress until all have ended, and knows how many requests a batch has before its validation', () => {
    const group: Group = {
      id: 'group_a',
      parts: [part(1, 10, [counted('a', 'failed', [0, 0, 0])]), part(2, 5, [counted('b', 'validating', [0, 0, 0])])],
    };
    assert.partialDeepStrictEqual(sumOf(group), { status: 'validating', request_counts: { total: 15, completed: 0, failed: 0 } });
    group.parts[1] = part(2, 5, [counted('b', 'completed', [5, 5, 0])]);
    assert.equal(sumOf(group).status, 'failed');
  });
});

describe('groupIdOf', () => {
  it('is the same for the same lines, request and key only', () => {
    const parts = [{ firstLine: 1, start: 0, end: 5, requests: 1, embeddingInputs: 0, sha256: 'a' }];
    const id = groupIdOf(parts, { endpoint: 'e' }, '');
    assert.equal(groupIdOf(parts, { endpoint: 'e' }, ''), id);
    const others = [
      groupIdOf(parts, { endpoint: 'f' }, ''),
      groupIdOf(parts, { endpoint: 'e' }, 'k'),
      groupIdOf([...parts, ...parts], { endpoint: 'e' }, ''),
    ];
    assert.equal(new Set([id, ...others]).size, 4);
  });
});

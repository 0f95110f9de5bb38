import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type OpenAI from 'openai';
import { bucketOf } from './bucket.ts';
import { md5 } from './calls.ts';
import { checkBucket } from './check-bucket.ts';
import { checkCreations, checkInputs, checkReply } from './check-clients.ts';
import { checkExpiry, checkMove } from './check-move.ts';
import { facts, ID, TENANT } from './facts.ts';
import { usageOf } from './usage.ts';
import { sumShards } from './watch-batches.ts';

function assertTold(complaints: readonly string[], what: RegExp): void {
  assert.ok(
    complaints.some((complaint) => what.test(complaint)),
    `${what} is not in ${JSON.stringify(complaints)}`,
  );
}

describe('the checks between two looks', () => {
  const { batch } = facts();
  const running: OpenAI.Batch = { ...batch, status: 'in_progress' };
  delete running.completed_at;
  delete running.finalizing_at;

  it('find nothing wrong with a batch that goes on and ends', () => {
    assert.deepEqual([...checkMove(running, running), ...checkMove(running, batch), ...checkMove(batch, { ...batch })], []);
  });

  for (const [what, before, now, told] of [
    ['an illegal move', { ...batch, status: 'cancelling' }, batch, /illegal move/],
    ['a batch that comes back from its end', batch, running, /illegal move/],
    ['a timestamp that goes back', running, { ...running, in_progress_at: 10 }, /in_progress_at has changed/],
    ['a timestamp that is gone', batch, { ...batch, finalizing_at: 0 }, /finalizing_at has changed/],
    ['counts that step back', running, { ...running, request_counts: { total: 4, completed: 2, failed: 1 } }, /completed stepped back/],
    [
      'counts that step back at the end',
      running,
      { ...batch, request_counts: { total: 4, completed: 2, failed: 2 } },
      /completed stepped back/,
    ],
    [
      'failures that step back at the end',
      running,
      { ...batch, request_counts: { total: 4, completed: 4, failed: 0 } },
      /failed stepped back/,
    ],
    ['a total that steps back', running, { ...running, request_counts: { total: 0, completed: 3, failed: 1 } }, /total stepped back/],
    ['a terminal record that changes', batch, { ...batch, metadata: { a: 'b' } }, /changed after its end/],
  ] as const) {
    it(`tell of ${what}`, () => {
      assertTold(checkMove(before, now), told);
    });
  }
});

describe('the check of what expires', () => {
  it('tells of a batch that is expired before its window has ended by the clock', () => {
    const expired: OpenAI.Batch = { ...facts().batch, status: 'expired', expires_at: 30, expired_at: 30 };
    assert.deepEqual([...checkExpiry(expired, 30_000), ...checkExpiry({ ...expired, status: 'in_progress' }, 29_999)], []);
    assertTold(checkExpiry(expired, 29_999), /expired before its window ended/);
  });
});

describe('the checks of what clients did', () => {
  const batches = new Map([[TENANT, [{ ...facts().batch, metadata: { key: 'k' } }]]]);

  it('find nothing wrong with one batch for one key', () => {
    assert.deepEqual(checkCreations(batches, { created: new Map([[ID, TENANT]]), idempotencyKeys: new Set(['k']) }), []);
  });

  it('tell of a batch that was answered and is gone, and of two under one key', () => {
    assertTold(checkCreations(batches, { created: new Map([['batch_2', TENANT]]), idempotencyKeys: new Set() }), /batch_2 was answered/);
    const twice = new Map([[TENANT, [...(batches.get(TENANT) ?? []), ...(batches.get(TENANT) ?? [])]]]);
    assertTold(checkCreations(twice, { created: new Map(), idempotencyKeys: new Set(['k']) }), /2 batches were made under the key k/);
  });

  it('tell of an answer that no client deserves, but not of one that asks for patience, or of none', () => {
    const reply = (status: number) => ({ status, bytes: Buffer.from('{"error":"x"}') });
    for (const status of [400, 401, 404, 409])
      assertTold(checkReply('reading batch_1', reply(status)), /reading batch_1 was refused with 4/);
    for (const status of [200, 408, 429, 503]) assert.deepEqual(checkReply('reading batch_1', reply(status)), []);
    assert.deepEqual(checkReply('reading batch_1', null), []);
  });

  const deeds = {
    inputs: new Map([['file-in', facts().input]]),
    deletedFiles: new Set<string>(),
    givenUp: new Set(['given-up.jsonl']),
  };

  it('tell of a file that does not hold what was uploaded, and of one whose upload was given up', () => {
    assert.deepEqual(
      checkInputs([{ id: 'file-in', filename: 'a.jsonl' }], () => 'x', deeds),
      [],
    );
    assertTold(
      checkInputs([], () => 'y', deeds),
      /file-in does not hold what was uploaded/,
    );
    assertTold(
      checkInputs([{ id: 'file-2', filename: 'given-up.jsonl' }], () => 'x', deeds),
      /file-2 was made of an upload that was given up/,
    );
  });
});

describe('the checks of the bucket a day later', () => {
  const files = [
    { id: 'file-in', purpose: 'batch' },
    { id: 'file-out', purpose: 'batch_output' },
    { id: 'file-err', purpose: 'batch_output' },
  ] as const;
  const given = () => ({
    files: new Map<string, readonly { id: string; purpose: OpenAI.FileObject['purpose'] }[]>([[TENANT, files]]),
    batches: new Map([[TENANT, [facts().batch]]]),
    deeds: { inputs: new Map([['file-in', facts().input]]), deletedFiles: new Set<string>() },
    keys: files.map(({ id }) => `content/${TENANT}/${id}`),
    halfUploads: [] as string[],
  });

  it('find nothing wrong where only files are left', () => {
    assert.deepEqual(checkBucket(given()), { missing: [], left: [] });
  });

  for (const key of [
    `work/${ID}/plan/head`,
    `open/${TENANT}/${ID}`,
    'uploads/x',
    `resumable/${TENANT}/upload_1/record`,
    `content/${TENANT}/x`,
  ]) {
    it(`tell of ${key} that is left over`, () => {
      const facts = given();
      assert.deepEqual(checkBucket({ ...facts, keys: [...facts.keys, key] }).left, [`left over: ${key}`]);
    });
  }

  it('tell of an orphan multipart upload', () => {
    assert.deepEqual(checkBucket({ ...given(), halfUploads: ['xl.meta'] }).left, ['left over: xl.meta']);
  });

  it('tell of a file without bytes, a file in no list, and a result of no batch', () => {
    const facts = given();
    assertTold(checkBucket({ ...facts, keys: facts.keys.slice(1) }).missing, /file-in is gone/);
    assertTold(checkBucket({ ...facts, files: new Map([[TENANT, files.slice(0, 2)]]) }).missing, /file-err is in no list/);
    assertTold(checkBucket({ ...facts, batches: new Map() }).missing, /file-out is a result of no batch/);
  });
});

describe('what the checks see of the bucket', () => {
  it('is a half multipart upload, wherever it lies on the disk of MinIO', async () => {
    const minioDirectory = await mkdtemp(join(tmpdir(), 'nightshift-half-'));
    const upload = join(minioDirectory, '.minio.sys', 'multipart', 'a', 'b');
    await mkdir(upload, { recursive: true });
    const { halfUploads } = bucketOf({ minioPort: 1, minioDirectory });
    assert.deepEqual(await halfUploads(), []);
    await writeFile(join(upload, 'xl.meta'), '');
    assert.deepEqual(await halfUploads(), [join(upload, 'xl.meta')]);
    await rm(minioDirectory, { recursive: true });
  });

  it('is the sum of all shard results, and nothing once the sweep has begun', async () => {
    const usage = (tokens: number) => JSON.stringify(usageOf({ prompt_tokens: tokens, total_tokens: tokens }));
    const objects = new Map([
      [`work/${ID}/plan/head`, '{"shards":[{},{}]}'],
      [`work/${ID}/result/0000`, `{"completed":1,"failed":0,"notRun":0,"usage":${usage(4)},"output":{"key":"o0"},"error":null}`],
      [`work/${ID}/result/0001`, `{"completed":2,"failed":1,"notRun":3,"usage":${usage(5)},"output":{"key":"o1"},"error":{"key":"e1"}}`],
      ...(['o0', 'o1', 'e1'] as const).map((key) => [key, `${key}\n`] as const),
    ]);
    const bucket = {
      keys: async (prefix: string) => [...objects.keys()].filter((key) => key.startsWith(prefix)),
      read: async (key: string) => Buffer.from(objects.get(key) ?? ''),
    };
    assert.deepEqual(await sumShards(bucket, ID), {
      completed: 3,
      failed: 1,
      notRun: 3,
      usage: usageOf({ prompt_tokens: 9, total_tokens: 9 }),
      outputHash: md5('o0\no1\n'),
      errorHash: md5('e1\n'),
    });
    objects.delete(`work/${ID}/result/0001`);
    await assert.rejects(sumShards(bucket, ID), /the sweep has begun/);
  });
});

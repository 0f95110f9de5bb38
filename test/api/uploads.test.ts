import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { after, before, describe, it } from 'node:test';
import OpenAI, { APIError, ConflictError, toFile } from 'openai';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { createHousekeeping } from '../../src/storage/housekeeping.ts';
import { until } from '../helpers/until.ts';
import { demandEvenParts } from '../storage/even-parts-store.ts';
import { collect, startTestBucket, WHOLE } from '../storage/test-bucket.ts';
import { envelopeOf, startTestApi, startWholeTestApi, type TestApi } from './test-api.ts';

const KIB = 1024;
const MIB = KIB * KIB;
const LINE = Buffer.from('{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n');
const hourMs = 3_600_000;
const limits = { ...DEFAULT_LIMITS, maxBatchInputBytes: 30 * MIB, maxResumableUploadBytes: 40 * MIB };

describe('/v1/uploads', () => {
  let api: TestApi;
  let client: OpenAI;
  before(async () => {
    api = await startWholeTestApi({ limits });
    client = api.client();
  });
  after(() => api[Symbol.asyncDispose]());

  const announce = async (bytes: number, more: Partial<OpenAI.UploadCreateParams> = {}) =>
    await client.uploads.create({ bytes, filename: 'in.jsonl', mime_type: 'application/jsonl', purpose: 'batch', ...more });
  const add = async (id: string, data: Buffer) => (await client.uploads.parts.create(id, { data: await toFile(data, 'x') })).id;
  const contentOf = async (id: string) => Buffer.from(await (await client.files.content(id)).arrayBuffer());
  const keysBelow = async (prefix: string) => (await collect(api.store.list(prefix))).map(({ key }) => key);
  const post = async (path: string, body: unknown) =>
    await api.fetch(path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  const refused = async (answer: Response, status: number) => {
    assert.equal(answer.status, status);
    const { param, code, message } = await envelopeOf(answer);
    return { param, code, message };
  };
  const filled = async (...parts: Buffer[]) => {
    const upload = await announce(Buffer.concat(parts).length);
    return { id: upload.id, part_ids: await Promise.all(parts.map(async (part) => await add(upload.id, part))) };
  };

  describe('POST /v1/uploads', () => {
    it('answers the pending upload, which expires after an hour', async () => {
      const { id, created_at, ...rest } = await announce(12, { filename: '../a/näme "q".jsonl' });
      assert.match(id, /^upload_[0-9a-f]{32}$/);
      assert.ok(Math.abs(created_at - api.nowSeconds()) < 60);
      assert.deepEqual(rest, {
        object: 'upload',
        bytes: 12,
        expires_at: created_at + 3600,
        filename: 'näme "q".jsonl',
        purpose: 'batch',
        status: 'pending',
        file: null,
      });
    });

    it('400: names what is missing, of the wrong type or out of range', async () => {
      const good = { bytes: 1, filename: 'a', mime_type: 'b', purpose: 'batch' };
      const cases: [object, string, string][] = [
        [{ bytes: null }, 'bytes', 'missing_required_parameter'],
        [{ filename: undefined }, 'filename', 'missing_required_parameter'],
        [{ mime_type: undefined }, 'mime_type', 'missing_required_parameter'],
        [{ purpose: undefined }, 'purpose', 'missing_required_parameter'],
        [{ bytes: '1' }, 'bytes', 'invalid_type'],
        [{ bytes: 1.5 }, 'bytes', 'invalid_type'],
        [{ bytes: -1 }, 'bytes', 'integer_below_min_value'],
        [{ bytes: 40 * MIB + 1, purpose: 'user_data' }, 'bytes', 'integer_above_max_value'],
        [{ filename: 7 }, 'filename', 'invalid_type'],
        [{ filename: 'x'.repeat(1025) }, 'filename', 'string_above_max_length'],
        [{ mime_type: [] }, 'mime_type', 'invalid_type'],
        [{ purpose: 'batch_output' }, 'purpose', 'invalid_value'],
        [{ purpose: 5 }, 'purpose', 'invalid_type'],
        [{ expires_after: { anchor: 'created_at', seconds: 1 } }, 'expires_after.seconds', 'integer_below_min_value'],
      ];
      for (const [change, param, code] of cases) {
        assert.partialDeepStrictEqual(await refused(await post('/v1/uploads', { ...good, ...change }), 400), { param, code });
      }
    });

    it('400: a batch input over its cap is too large from the start', async () => {
      const error = await refused(await post('/v1/uploads', { bytes: 30 * MIB + 1, filename: 'a', mime_type: 'b', purpose: 'batch' }), 400);
      assert.deepEqual(error, { param: null, code: 'file_too_large', message: 'File is too large.' });
    });
  });

  describe('parts that become a file', () => {
    it('stand in the order of part_ids, however small they are and whenever they came', async () => {
      const content = Buffer.concat([LINE, randomBytes(40 * KIB)]);
      const upload = await announce(content.length);
      const part_ids: string[] = [];
      const starts = Array.from({ length: Math.ceil(content.length / KIB) }, (_, at) => at);
      await Promise.all(
        starts.reverse().map(async (at) => {
          part_ids[at] = await add(upload.id, content.subarray(at * KIB, (at + 1) * KIB));
        }),
      );
      const completed = await client.uploads.complete(upload.id, {
        part_ids,
        md5: createHash('md5').update(content).digest('hex').toUpperCase(),
      });
      assert.equal(completed.status, 'completed');
      const { file } = completed;
      assert.ok(file);
      assert.deepEqual(await client.files.retrieve(file.id), file);
      assert.partialDeepStrictEqual(file, {
        object: 'file',
        bytes: content.length,
        filename: 'in.jsonl',
        purpose: 'batch',
        status: 'processed',
      });
      assert.equal(file.expires_at, file.created_at + 2_592_000);
      assert.ok(content.equals(await contentOf(file.id)));
      assert.deepEqual(await keysBelow(`resumable/tenant-a/${upload.id}/parts/`), []);
      assert.deepEqual(await keysBelow('uploads/'), []);
    });

    it('may be larger than what goes to the bucket at once', async () => {
      const parts = [Buffer.concat([LINE, randomBytes(9 * MIB)]), randomBytes(5), randomBytes(9 * MIB)];
      const { id, part_ids } = await filled(...parts);
      const { file } = await client.uploads.complete(id, { part_ids });
      assert.ok(Buffer.concat(parts).equals(await contentOf(file?.id ?? '')));
      assert.deepEqual(await keysBelow('uploads/'), []);
    });

    it('are copied within the bucket where they are even, and then no more of them is read than has to be checked', async () => {
      const { open } = api.store;
      const opened: string[] = [];
      api.store.open = async (key, range) => {
        opened.push(key);
        return await open(key, range);
      };
      try {
        const line = Buffer.from(`{"long":"${'x'.repeat(6 * MIB)}"}\n`);
        const parts = [
          line.subarray(0, 6 * MIB),
          Buffer.concat([line.subarray(6 * MIB), randomBytes(12 * MIB - line.length)]),
          randomBytes(6 * MIB),
          LINE,
        ];
        const content = Buffer.concat(parts);
        const md5 = createHash('md5').update(content).digest('hex');
        const { id, part_ids } = await filled(...parts);
        const error = await refused(await post(`/v1/uploads/${id}/complete`, { part_ids, md5: md5.replace(/./g, 'a') }), 400);
        assert.equal(error.param, 'md5');
        opened.length = 0;
        const { file } = await client.uploads.complete(id, { part_ids });
        assert.deepEqual(
          opened,
          part_ids.slice(0, 2).map((part) => `resumable/tenant-a/${id}/parts/${part}`),
        );
        assert.ok(content.equals(await contentOf(file?.id ?? '')));

        const again = await filled(...parts);
        const checked = await client.uploads.complete(again.id, { part_ids: again.part_ids, md5 });
        assert.ok(content.equals(await contentOf(checked.file?.id ?? '')));
        const bad = await filled(randomBytes(6 * MIB), LINE);
        assert.match((await refused(await post(`/v1/uploads/${bad.id}/complete`, { part_ids: bad.part_ids }), 400)).message, /jsonl/);
      } finally {
        api.store.open = open;
      }
      await until(async () => (await keysBelow('uploads/')).length === 0, { what: 'half contents to be dropped' });
    });

    it('may have any sizes where the store wants the parts of an upload to have one size', async () => {
      await using bucket = await startTestBucket();
      const even = demandEvenParts(bucket.store);
      await using strict = await startTestApi({ ...bucket, store: even }, { limits: { ...limits, maxResumableUploadBytes: 60 * MIB } });
      const own = strict.client();
      const cases = [
        [9 * MIB, 5 * MIB, 6 * MIB],
        [6 * MIB, 6 * MIB, 3],
        [100, 1, 17 * MIB],
      ];
      for (const sizes of cases) {
        const bodies = sizes.map((size, at) => (at === 0 ? Buffer.concat([LINE, randomBytes(size - LINE.length)]) : randomBytes(size)));
        const bytes = sizes.reduce((sum, size) => sum + size, 0);
        const upload = await own.uploads.create({ bytes, filename: 'in.jsonl', mime_type: 'application/jsonl', purpose: 'batch' });
        const part_ids: string[] = [];
        for (const body of bodies) part_ids.push((await own.uploads.parts.create(upload.id, { data: await toFile(body, 'x') })).id);
        const { file } = await own.uploads.complete(upload.id, { part_ids });
        const content = Buffer.from(await (await own.files.content(file?.id ?? '')).arrayBuffer());
        assert.ok(Buffer.concat(bodies).equals(content), sizes.join());
      }
      assert.ok(even.uploads.length >= cases.length);
    });

    it('may be none, for an empty file that is no batch', async () => {
      const upload = await announce(0, { purpose: 'user_data' });
      const { file } = await client.uploads.complete(upload.id, { part_ids: [] });
      assert.deepEqual([file?.bytes, file?.expires_at], [0, null]);
    });

    it('may be left out: what part_ids does not name is no part of the file', async () => {
      const upload = await announce(LINE.length);
      const [, part] = [await add(upload.id, Buffer.from('left out')), await add(upload.id, LINE)];
      const { file } = await client.uploads.complete(upload.id, { part_ids: [part] });
      assert.ok(LINE.equals(await contentOf(file?.id ?? '')));
    });

    it('were created in the order in which lists show their files, whichever is whole first', async () => {
      const [first, second] = [await filled(LINE), await filled(LINE)];
      const { beginContent } = api.files;
      const [begun, other] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      api.files.beginContent = async (...given) => {
        api.files.beginContent = beginContent;
        begun.resolve();
        await other.promise;
        return await beginContent(...given);
      };
      const completing = client.uploads.complete(first.id, { part_ids: first.part_ids });
      await begun.promise;
      api.advance(5000);
      const { file: later } = await client.uploads.complete(second.id, { part_ids: second.part_ids });
      other.resolve();
      const { file: earlier } = await completing;
      api.advance(-5000);
      assert.ok(later && earlier);
      assert.deepEqual((await client.files.list({ limit: 2 })).data, [later, earlier]);
      assert.ok(later.created_at > earlier.created_at, `${later.created_at}, ${earlier.created_at}`);
    });

    it('live as long as expires_after says', async () => {
      const upload = await announce(LINE.length, { expires_after: { anchor: 'created_at', seconds: 7200 } });
      const { file } = await client.uploads.complete(upload.id, { part_ids: [await add(upload.id, LINE)] });
      assert.equal(file?.expires_at, (file?.created_at ?? 0) + 7200);
    });
  });

  describe('POST /v1/uploads/{id}/complete, more than once', () => {
    it('answers the same upload with the same file, also when the file is gone', async () => {
      const { id, part_ids } = await filled(LINE);
      const first = await client.uploads.complete(id, { part_ids });
      assert.deepEqual(await client.uploads.complete(id, { part_ids }), first);
      await client.files.delete(first.file?.id ?? '');
      assert.deepEqual(await client.uploads.complete(id, { part_ids }), first);
      await assert.rejects(client.files.retrieve(first.file?.id ?? ''), OpenAI.NotFoundError);
    });

    it('copies once for all that ask for the same meanwhile, and lets nobody wait who asks for something else', async () => {
      const { id, part_ids } = await filled(LINE, Buffer.from('{}\n'));
      const { beginContent } = api.files;
      const [allRead, other] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      let [begun, read] = [0, 0];
      api.files.beginContent = async (...given) => {
        begun += 1;
        await (begun === 1 ? other : allRead).promise;
        return await beginContent(...given);
      };
      const count = (request: IncomingMessage) => request.once('end', () => (read += 1) === 5 && setImmediate(allRead.resolve));
      api.server.prependListener('request', count);
      try {
        const wrong = client.uploads.complete(id, { part_ids, md5: '0'.repeat(32) });
        await until(() => begun === 1, { what: 'the other completion' });
        const all = await Promise.all(Array.from({ length: 4 }, async () => await client.uploads.complete(id, { part_ids })));
        assert.equal(new Set(all.map(({ file }) => file?.id)).size, 1);
        assert.equal(begun, 2);
        other.resolve();
        assert.deepEqual(await wrong, all[0]);
      } finally {
        api.files.beginContent = beginContent;
        api.server.removeListener('request', count);
      }
    });

    it('makes one file when many come at once', async () => {
      const { id, part_ids } = await filled(LINE, randomBytes(9 * MIB));
      const before = await keysBelow('files/');
      const completed = await Promise.all(Array.from({ length: 6 }, async () => await client.uploads.complete(id, { part_ids })));
      assert.equal(new Set(completed.map(({ file }) => file?.id)).size, 1);
      assert.equal((await keysBelow('files/')).length, before.length + 1);
      assert.equal((await contentOf(completed[0]?.file?.id ?? '')).length, LINE.length + 9 * MIB);
      const contents = (await keysBelow('content/tenant-a/')).map((key) => key.split('/')[2] ?? '');
      const files = (await keysBelow('files/tenant-a/')).map((key) => key.split('/')[2] ?? '');
      assert.deepEqual(contents, files);
      assert.deepEqual(await keysBelow('uploads/'), []);
    });

    it('makes the file visible when the first time died before that', async () => {
      const { id, part_ids } = await filled(LINE);
      const { file } = await client.uploads.complete(id, { part_ids });
      await api.store.remove([`files/tenant-a/${file?.id}`]);
      await client.uploads.complete(id, { part_ids });
      assert.deepEqual(await client.files.retrieve(file?.id ?? ''), file);
    });
  });

  describe('400, and the upload stays pending', () => {
    it('when the parts do not add up, are unknown, foreign or named twice', async () => {
      const { id, part_ids } = await filled(LINE, LINE);
      const [first = ''] = part_ids;
      const other = await filled(LINE);
      const path = `/v1/uploads/${id}/complete`;
      for (const [ids, message] of [
        [[first], /have 73 bytes in all, .* 'bytes': 146/],
        [[first, `part_${'0'.repeat(32)}`], /no part 'part_0/],
        [[first, other.part_ids[0]], /no part/],
        [[first, '../record'], /no part/],
        [[first, first], /twice/],
      ] as const) {
        const error = await refused(await post(path, { part_ids: ids }), 400);
        assert.equal(error.param, 'part_ids');
        assert.match(error.message, message);
      }
      assert.partialDeepStrictEqual(await refused(await post(path, {}), 400), { param: 'part_ids', code: 'missing_required_parameter' });
      assert.partialDeepStrictEqual(await refused(await post(path, { part_ids: 'x' }), 400), { param: 'part_ids', code: 'invalid_type' });
      assert.partialDeepStrictEqual(await refused(await post(path, { part_ids: [7] }), 400), {
        param: 'part_ids[0]',
        code: 'invalid_type',
      });
      assert.partialDeepStrictEqual(await refused(await post(path, { part_ids: Array(10_001).fill('') }), 400), {
        code: 'array_above_max_length',
      });
      assert.equal((await client.uploads.complete(id, { part_ids })).status, 'completed');
    });

    it('when the MD5 is another', async () => {
      const { id, part_ids } = await filled(LINE, Buffer.from('{}\n'));
      const md5 = createHash('md5').update(LINE).update('{}\n').digest('hex');
      const error = await refused(await post(`/v1/uploads/${id}/complete`, { part_ids: part_ids.toReversed(), md5 }), 400);
      assert.equal(error.param, 'md5');
      assert.equal((await client.uploads.complete(id, { part_ids, md5 })).status, 'completed');
    });

    it('when a batch input is no JSONL', async () => {
      for (const content of ['{malformed\n', ' \n\n', '']) {
        const { id, part_ids } = await filled(Buffer.from(content));
        const error = await refused(await post(`/v1/uploads/${id}/complete`, { part_ids }), 400);
        assert.match(error.message, /Invalid file format.*jsonl/);
      }
      await until(async () => (await keysBelow('uploads/')).length === 0, { what: 'half contents to be dropped' });
    });

    it('when no more parts fit', async () => {
      const { id, part_ids } = await filled(LINE);
      await add(id, randomBytes(39 * MIB));
      await assert.rejects(
        add(id, randomBytes(MIB)),
        (error: unknown) => error instanceof APIError && error.status === 400 && error.code === 'file_too_large',
      );
      assert.equal((await client.uploads.complete(id, { part_ids })).status, 'completed');
    });
  });

  describe('POST /v1/uploads/{id}/parts', () => {
    it('answers the part', async () => {
      const upload = await announce(3);
      const { id, created_at, ...rest } = await client.uploads.parts.create(upload.id, { data: await toFile(Buffer.from('abc')) });
      assert.match(id, /^part_[0-9a-f]{32}$/);
      assert.ok(Math.abs(created_at - api.nowSeconds()) < 60);
      assert.deepEqual(rest, { object: 'upload.part', upload_id: upload.id });
    });

    it('400 without data, 413 over 64 MiB', async () => {
      const upload = await announce(3);
      const form = new FormData();
      form.set('other', 'x');
      const error = await refused(await api.fetch(`/v1/uploads/${upload.id}/parts`, { method: 'POST', body: form }), 400);
      assert.partialDeepStrictEqual(error, { param: 'data', code: 'missing_required_parameter' });
      for (const bytes of [64 * MIB + 1, 65 * MIB]) {
        await assert.rejects(
          add(upload.id, Buffer.alloc(bytes)),
          (refusal: unknown) => refusal instanceof APIError && refusal.status === 413 && refusal.param === 'data',
        );
      }
      assert.deepEqual(await keysBelow(`resumable/tenant-a/${upload.id}/parts/`), []);
      await until(async () => (await keysBelow('uploads/')).length === 0, { what: 'half parts to be dropped' });
    });

    it('leaves nothing when the upload is cancelled while the part is on its way', async () => {
      const upload = await announce(20 * MIB);
      // The part is all there but for its last step when the cancel comes.
      const [onItsWay, cancelled] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const { completeMultipart } = api.store;
      api.store.completeMultipart = async (...given) => {
        onItsWay.resolve();
        await cancelled.promise;
        await completeMultipart(...given);
      };
      try {
        const adding = assert.rejects(add(upload.id, randomBytes(20 * MIB)), ConflictError);
        await onItsWay.promise;
        await client.uploads.cancel(upload.id);
        cancelled.resolve();
        await adding;
      } finally {
        api.store.completeMultipart = completeMultipart;
      }
      assert.deepEqual(await keysBelow(`resumable/tenant-a/${upload.id}/parts/`), []);
    });
  });

  describe('POST /v1/uploads/{id}/cancel', () => {
    it('ends the upload and removes its parts; once more changes nothing', async () => {
      const { id } = await filled(LINE);
      const cancelled = await client.uploads.cancel(id);
      assert.deepEqual([cancelled.status, cancelled.file], ['cancelled', null]);
      assert.deepEqual(await client.uploads.cancel(id), cancelled);
      assert.deepEqual(await keysBelow(`resumable/tenant-a/${id}/parts/`), []);
    });
  });

  describe('404 and 409', () => {
    const calls = (id: string, as = client) => [
      async () => await as.uploads.parts.create(id, { data: await toFile(LINE) }),
      async () => await as.uploads.complete(id, { part_ids: [] }),
      async () => await as.uploads.cancel(id),
    ];
    const assertEach = async (all: (() => Promise<unknown>)[], status: number, message: RegExp) => {
      for (const call of all) {
        await assert.rejects(call, (error: unknown) => {
          assert.ok(error instanceof APIError);
          assert.equal(error.status, status);
          assert.match(error.message, message);
          if (status === 409) assert.equal(error.headers?.get('x-should-retry'), 'false');
          return true;
        });
      }
    };

    it('does not know ids of nobody, of another tenant, or that are none', async () => {
      const { id } = await filled(LINE);
      await assertEach(calls(id, api.client('key-b')), 404, /No upload found/);
      for (const each of [`upload_${'0'.repeat(32)}`, '../x', 'upload_1']) await assertEach(calls(each), 404, /No upload found/);
    });

    it('takes nothing after the upload has ended', async () => {
      const { id, part_ids } = await filled(LINE);
      const [addTo, , cancel] = calls(id);
      await client.uploads.complete(id, { part_ids });
      await assertEach(
        [addTo, cancel].filter((call) => call !== undefined),
        409,
        /Cannot (add a part to|cancel) an upload with status 'completed'/,
      );
      const cancelled = await announce(1);
      await client.uploads.cancel(cancelled.id);
      await assertEach(calls(cancelled.id).slice(0, 2), 409, /status 'cancelled'/);
    });
  });

  it('expires after an hour, and the sweep removes it another hour later', async () => {
    // What earlier tests left may be older than the sweep of this one allows for.
    await api.store.remove(await keysBelow('resumable/'));
    const { id } = await filled(LINE);
    const young = await filled(LINE);
    await api.store.put(`resumable/tenant-a/upload_${'f'.repeat(32)}/parts/part_1`, Buffer.from('its record is gone'));
    const housekeeping = createHousekeeping({ store: api.store });
    const createdMs = Date.now();
    api.advance(hourMs);
    try {
      for (const call of [
        async () => await add(id, LINE),
        async () => await client.uploads.complete(id, { part_ids: [] }),
        async () => await client.uploads.cancel(id),
      ]) {
        await assert.rejects(call, /status 'expired'/);
      }
      assert.equal((await housekeeping.removeExpiredUploads(createdMs + 2 * hourMs - 60_000, WHOLE)).removed, 1);
      assert.ok((await keysBelow(`resumable/tenant-a/${young.id}/`)).length === 2);
      assert.ok((await housekeeping.removeExpiredUploads(createdMs + 2 * hourMs, WHOLE)).removed >= 4);
      assert.deepEqual(await keysBelow('resumable/'), []);
      await assert.rejects(client.uploads.cancel(id), OpenAI.NotFoundError);
    } finally {
      api.advance(-hourMs);
    }
  });
});

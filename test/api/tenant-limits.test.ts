import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { until } from '../helpers/until.ts';
import { startTestBucket, type TestBucket } from '../storage/test-bucket.ts';
import { envelopeOf, limitedTo, NO_LIMITS, startTestApi, type TestApi } from './test-api.ts';

const BODY = JSON.stringify({ input_file_id: `file-${'0'.repeat(24)}`, endpoint: '/v1/chat/completions', completion_window: '24h' });

describe('limits of a tenant', () => {
  let bucket: TestBucket;
  before(async () => (bucket = await startTestBucket()));
  after(async () => await bucket[Symbol.asyncDispose]());

  const create = async (api: TestApi, headers: Record<string, string> = {}) =>
    await api.fetch('/v1/batches', { method: 'POST', body: BODY, headers });
  const upload = async (api: TestApi, bytes: number, key = 'key-a') =>
    await api.client(key).files.create({ file: await toFile(Buffer.alloc(bytes), 'x'), purpose: 'user_data' });
  async function assertRefused(answer: Response, text: RegExp): Promise<void> {
    assert.equal(answer.status, 429);
    const seconds = Number(answer.headers.get('retry-after'));
    assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 60, String(seconds));
    assert.match((await envelopeOf(answer)).message, text);
  }

  describe('requests per minute', () => {
    it('answers 429 once they are used up, says when to come again, and keeps tenants apart', async () => {
      await using api = await startTestApi(bucket, { settingsOf: limitedTo({ ...NO_LIMITS, requestsPerMinute: 3 }) });
      for (const left of [2, 1, 0]) {
        const answer = await api.fetch('/v1/batches');
        assert.equal(answer.status, 200);
        assert.deepEqual(
          ['limit', 'remaining'].map((name) => answer.headers.get(`x-ratelimit-${name}-requests`)),
          ['3', String(left)],
        );
        await answer.text();
      }
      await assertRefused(await api.fetch('/v1/batches'), /^Rate limit reached: 3 requests per minute/);
      await assertRefused(await api.fetch('/v1/nope'), /3 requests per minute/);
      assert.equal((await api.client('key-b').batches.list()).data.length, 0);
      assert.equal((await fetch(`${api.origin}/health`)).status, 200);
    });

    it('refill evenly', async () => {
      // A clock that stands still in between.
      let [now, setByMs] = [0, 0];
      const clocks = { monotonicMs: () => now, nowMs: () => Date.now() + setByMs };
      await using api = await startTestApi(bucket, { ...clocks, settingsOf: limitedTo({ ...NO_LIMITS, requestsPerMinute: 2 }) });
      const status = async () => (await api.fetch('/v1/batches')).status;
      assert.deepEqual([await status(), await status(), await status()], [200, 200, 429]);
      now += 30_000;
      assert.deepEqual([await status(), await status()], [200, 429]);
      now += 3_600_000;
      assert.deepEqual([await status(), await status(), await status()], [200, 200, 429]);
      for (setByMs of [3_600_000, -3_600_000]) assert.equal(await status(), 429, 'whoever sets the wall clock gains and loses nothing');
    });

    it('are waited out by the SDK', async () => {
      // The clock begins to run once all requests are used up.
      let beganAt: number | undefined;
      const monotonicMs = () => (beganAt === undefined ? 0 : performance.now() - beganAt);
      await using api = await startTestApi(bucket, { monotonicMs, settingsOf: limitedTo({ ...NO_LIMITS, requestsPerMinute: 60 }) });
      const usedUp = (async () => {
        for (;;) await api.client().batches.list();
      })();
      await assert.rejects(usedUp, OpenAI.RateLimitError);
      beganAt = performance.now();
      assert.ok(Array.isArray((await api.client('key-a', { maxRetries: 2 }).batches.list()).data));
    });
  });

  describe('batches per hour', () => {
    it('answers 429 to more, and counts no create that is refused', async () => {
      await using api = await startTestApi(bucket, { settingsOf: limitedTo({ ...NO_LIMITS, batchesPerHour: 2 }) });
      for (let i = 0; i < 5; i += 1) assert.equal((await api.fetch('/v1/batches', { method: 'POST', body: '{}' })).status, 400);
      assert.deepEqual([(await create(api)).status, (await create(api)).status], [200, 200]);
      await assertRefused(await create(api), /2 batches per hour/);
      assert.equal((await api.fetch('/v1/batches')).status, 200);
      api.advance(30 * 60_000);
      assert.deepEqual([(await create(api)).status, (await create(api)).status], [200, 429]);
    });

    it('are not used up by repeats', async () => {
      await using api = await startTestApi(bucket, { settingsOf: limitedTo({ ...NO_LIMITS, batchesPerHour: 2 }) });
      const key = { 'idempotency-key': 'hourly' };
      const idOf = async () => Object(await (await create(api, key)).json()).id;
      // Repeats of a create that is still under way are refused when nothing is left of the hour, and succeed when they come again.
      const ids = [await idOf(), ...(await Promise.all(Array.from({ length: 4 }, idOf)))];
      assert.equal(new Set(ids).size, 1);
      assert.deepEqual([(await create(api)).status, (await create(api)).status], [200, 429]);
      assert.equal(Object(await (await create(api, key)).json()).id, ids[0]);
    });
  });

  describe('a create that is refused', () => {
    const refusals = { requestsPerMinute: 1, batchesPerHour: 1, maxOpenBatches: 1 } as const;
    for (const [limit, count] of Object.entries(refusals)) {
      it(`answers no older batch to its retries (${limit})`, async () => {
        await using own = await startTestBucket();
        await using api = await startTestApi(own, { settingsOf: limitedTo({ ...NO_LIMITS, [limit]: count }) });
        await using other = await startTestApi(own);
        const older = Object(await (await create(api, { 'x-stainless-retry-count': '0' })).json()).id;
        await assertRefused(await create(api, { 'x-stainless-retry-count': '0' }), /Rate limit/);
        await assertRefused(await create(api, { 'x-stainless-retry-count': '1' }), /Rate limit/);
        // Another process of the API, whose limit lets the retry through.
        const made = Object(await (await create(other, { 'x-stainless-retry-count': '2' })).json()).id;
        assert.notEqual(made, older);
        assert.equal(Object(await (await create(other, { 'x-stainless-retry-count': '3' })).json()).id, made);
      });
    }

    it('is repeated by the SDK until its limit lets it through, or fails', async () => {
      await using own = await startTestBucket();
      await using api = await startTestApi(own, { settingsOf: limitedTo({ ...NO_LIMITS, requestsPerMinute: 60, maxOpenBatches: 1 }) });
      const [client, body] = [api.client('key-a', { maxRetries: 1 }), JSON.parse(BODY)];
      const older = await client.batches.create(body);
      const second = client.batches.create(body);
      await until(() => api.log.some((line) => line['status'] === 429), { what: 'a refusal' });
      await api.batches.removeOpen('tenant-a', older.id);
      assert.notEqual((await second).id, older.id);
    });
  });

  describe('open batches', () => {
    it('answers 429 to more until one has ended, also side by side, but answers a repeat', async () => {
      await using own = await startTestBucket();
      await using api = await startTestApi(own, { settingsOf: limitedTo({ ...NO_LIMITS, maxOpenBatches: 3 }) });
      const key = { 'idempotency-key': 'k' };
      const first = Object(await (await create(api, key)).json());
      const answers = await Promise.all(Array.from({ length: 8 }, async () => (await create(api)).status));
      const opened = answers.filter((status) => status === 200).length;
      assert.ok(opened >= 1 && opened <= 2, answers.join());
      if (opened === 1) assert.equal((await create(api)).status, 200);
      await assertRefused(await create(api), /3 batches that have not ended/);
      assert.equal(Object(await (await create(api, key)).json()).id, first.id);
      await assertRefused(await create(api, { 'x-stainless-retry-count': '1' }), /not ended/);
      await assertRefused(await create(api, { 'idempotency-key': 'other' }), /not ended/);
      assert.equal((await create(api, { authorization: 'Bearer key-b' })).status, 200);
      await api.batches.removeOpen('tenant-a', first.id);
      assert.deepEqual([(await create(api)).status, (await create(api)).status], [200, 429]);
    });
  });

  describe('stored bytes', () => {
    it('answers 429, which the SDK does not repeat, until files are deleted', async () => {
      await using own = await startTestBucket();
      await using api = await startTestApi(own, { settingsOf: limitedTo({ ...NO_LIMITS, maxStoredBytes: 10_000 }) });
      const file = await upload(api, 6000);
      const error = await api
        .client('key-a', { maxRetries: 5 })
        .files.create({ file: await toFile(Buffer.alloc(6000), 'x'), purpose: 'user_data' })
        .catch((thrown: unknown) => thrown);
      assert.ok(error instanceof OpenAI.RateLimitError);
      assert.equal(error.code, 'storage_quota_exceeded');
      assert.equal(error.headers?.get('retry-after'), '60');
      await upload(api, 6000, 'key-b');
      await upload(api, 1000);
      await api.client().files.delete(file.id);
      api.advance(1000);
      await upload(api, 6000);
    });

    it('counts parts of uploads, and what other processes stored', async () => {
      await using own = await startTestBucket();
      const limited = { settingsOf: limitedTo({ ...NO_LIMITS, maxStoredBytes: 10_000 }) };
      await using api = await startTestApi(own, limited);
      await using other = await startTestApi(own, limited);
      const { uploads } = api.client();
      const pending = await uploads.create({ bytes: 8000, filename: 'x', mime_type: 'text/plain', purpose: 'user_data' });
      await uploads.parts.create(pending.id, { data: await toFile(Buffer.alloc(8000), 'x') });
      await assert.rejects(upload(other, 8000), OpenAI.RateLimitError);
      await assert.rejects(
        uploads.parts.create(pending.id, { data: await toFile(Buffer.alloc(8000), 'x') }),
        (thrown) => thrown instanceof OpenAI.RateLimitError,
      );
      await uploads.cancel(pending.id);
      api.advance(1000);
      other.advance(1000);
      await upload(other, 8000);
    });

    /** Sends a form of undeclared length in pieces; answers what came back. */
    async function stream(api: TestApi, bytes: number, path = '/v1/files', part = 'file'): Promise<string> {
      const socket = await api.send(
        `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-a\r\ntransfer-encoding: chunked\r\ncontent-type: multipart/form-data; boundary=b\r\n\r\n`,
      );
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      const send = (piece: string) => void socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
      send('--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n');
      send(`--b\r\nContent-Disposition: form-data; name="${part}"; filename="x"\r\n\r\n`);
      for (let sent = 0; sent < bytes && text === ''; sent += 1000) {
        send('x'.repeat(1000));
        await delay(1);
      }
      send('\r\n--b--\r\n');
      socket.write('0\r\n\r\n');
      await until(() => text.includes('}'), { what: 'an answer' });
      socket.destroy();
      return text;
    }

    it('holds for bodies of undeclared length, of files and of parts, and any number at a time', async () => {
      for (const what of ['files', 'parts'] as const) {
        await using own = await startTestBucket();
        await using api = await startTestApi(own, { settingsOf: limitedTo({ ...NO_LIMITS, maxStoredBytes: 10_000 }) });
        const pending = await api.client().uploads.create({ bytes: 8000, filename: 'x', mime_type: 'text/plain', purpose: 'user_data' });
        const [path, part] = what === 'files' ? ['/v1/files', 'file'] : [`/v1/uploads/${pending.id}/parts`, 'data'];
        const { files } = api.deps;
        const { storedBytes } = files;
        let measurements = 0;
        files.storedBytes = async (tenant) => (measurements++, await storedBytes(tenant));
        const answers = await Promise.all(Array.from({ length: 20 }, async () => await stream(api, 4000, path, part)));
        const accepted = answers.filter((answer) => answer.startsWith('HTTP/1.1 200 '));
        assert.ok(accepted.length <= 2, `${what}: ${accepted.length} accepted`);
        const held = (await storedBytes('tenant-a')) + (await api.deps.uploads.storedBytes('tenant-a'));
        assert.ok(held <= 10_000, `${what}: ${held} bytes`);
        for (const answer of answers) if (!accepted.includes(answer)) assert.match(answer, /^HTTP\/1\.1 429 [^]*"storage_quota_exceeded"/);
        assert.ok(measurements <= 2, `${what}: ${measurements} measurements`);
        // What was refused has given back what it had taken.
        api.advance(1000);
        if (accepted.length === 0) assert.match(await stream(api, 4000, path, part), /^HTTP\/1\.1 200 /);
        assert.match(await stream(api, 12_000, path, part), /^HTTP\/1\.1 429 /);
      }
    });

    it('measures once for all uploads that need it at the same time', async () => {
      await using own = await startTestBucket();
      await using api = await startTestApi(own, { settingsOf: limitedTo({ ...NO_LIMITS, maxStoredBytes: 10_000_000 }) });
      const { files } = api.deps;
      const { storedBytes } = files;
      let measurements = 0;
      files.storedBytes = async (tenant) => (measurements++, await delay(50), await storedBytes(tenant));
      for (const expected of [1, 2]) {
        await Promise.all(Array.from({ length: 20 }, async () => await upload(api, 1000)));
        assert.match(await stream(api, 1000), /^HTTP\/1\.1 200 /);
        assert.equal(measurements, expected);
        api.advance(61_000);
      }
    });
  });
});

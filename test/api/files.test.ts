import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { until } from '../helpers/until.ts';
import { startTestBucket } from '../storage/test-bucket.ts';
import { envelopeOf, received, startTestApi, startWholeTestApi, type TestApi } from './test-api.ts';

const LINE = '{"custom_id":"1"}\n';

let api: TestApi;
let client: OpenAI;
before(async () => {
  api = await startWholeTestApi();
  client = api.client();
});
after(async () => await api[Symbol.asyncDispose]());

const upload = async (content: string | Buffer = LINE, { name = 'in.jsonl', purpose = 'batch' as OpenAI.FilePurpose, as = client } = {}) =>
  await as.files.create({ file: await toFile(Buffer.from(content), name), purpose });

describe('GET /v1/files', () => {
  it('answers the whole envelope when there is nothing', async () => {
    const answer = await api.fetch('/v1/files');
    assert.deepEqual(await answer.json(), { object: 'list', data: [], first_id: null, last_id: null, has_more: false });
  });

  it('pages through files in both orders, without gaps or repeats', async () => {
    const made = [];
    for (let count = 0; count < 5; count++) made.push((await upload()).id);
    for (const order of ['asc', 'desc'] as const) {
      const seen = [];
      for await (const file of client.files.list({ order, limit: 2 })) seen.push(file.id);
      assert.deepEqual(seen, order === 'asc' ? made : made.toReversed());
    }
    const first = Object(await (await api.fetch('/v1/files?limit=2&unknown=1')).json());
    assert.deepEqual([first.first_id, first.last_id, first.has_more], [made[4], made[3], true]);
  });

  it('is in the order of created_at, whichever upload ends first', async () => {
    const { beginContent } = api.files;
    const [begun, other] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    api.files.beginContent = async (...given) => {
      api.files.beginContent = beginContent;
      begun.resolve();
      await other.promise;
      return await beginContent(...given);
    };
    const uploading = upload();
    await begun.promise;
    api.advance(5000);
    const later = await upload();
    api.advance(5000);
    other.resolve();
    const earlier = await uploading;
    assert.deepEqual((await client.files.list({ limit: 2 })).data, [later, earlier]);
    assert.ok(later.created_at > earlier.created_at, `${later.created_at}, ${earlier.created_at}`);
    assert.equal(earlier.expires_at, earlier.created_at + 2_592_000);
  });

  it('goes on after a file that was deleted meanwhile', async () => {
    const [older, cursor] = [await upload(), await upload()];
    await client.files.delete(cursor.id);
    const page = await client.files.list({ after: cursor.id, limit: 1 });
    assert.deepEqual(
      page.data.map(({ id }) => id),
      [older.id],
    );
  });

  it('shows one purpose when asked to', async () => {
    const data = await upload('x', { purpose: 'user_data' });
    assert.deepEqual(
      (await client.files.list({ purpose: 'user_data' })).data.map(({ id }) => id),
      [data.id],
    );
    assert.deepEqual((await client.files.list({ purpose: 'nothing' })).data, []);
  });

  it('answers 400 and names what is wrong', async () => {
    const cases = [
      ['limit=0', 'limit', 'integer_below_min_value'],
      ['limit=-1', 'limit', 'integer_below_min_value'],
      ['limit=10001', 'limit', 'integer_above_max_value'],
      ['limit=abc', 'limit', 'invalid_type'],
      ['limit=', 'limit', 'invalid_type'],
      ['limit=1.5', 'limit', 'invalid_type'],
      ['order=up', 'order', 'invalid_value'],
      ['after=nope', 'after', null],
      [`after=file-${'0'.repeat(24)}`, 'after', null],
    ] as const;
    for (const [query, param, code] of cases) {
      const answer = await api.fetch(`/v1/files?${query}`);
      assert.equal(answer.status, 400, query);
      assert.partialDeepStrictEqual(await envelopeOf(answer), { param, code });
    }
    const tooMany = await envelopeOf(await api.fetch('/v1/files?limit=10001'));
    assert.equal(tooMany.message, "Invalid 'limit': integer above maximum value. Expected a value <= 10000, but got 10001 instead.");
  });
});

describe('GET and DELETE /v1/files/{id}', () => {
  it('is processed at once', async () => {
    const file = await upload();
    assert.equal((await client.files.waitForProcessing(file.id)).status, 'processed');
  });

  it('answers 200 to an SDK retry of a deletion whose answer was lost, and to no other retry', async () => {
    const { id } = await upload();
    const retry = async (file: string, authorization = 'Bearer key-a') =>
      (await api.fetch(`/v1/files/${file}`, { method: 'DELETE', headers: { authorization, 'x-stainless-retry-count': '1' } })).status;
    await client.files.delete(id);
    assert.deepEqual([await retry(id), await retry(id, 'Bearer key-b'), await retry(`file-${'0'.repeat(24)}`)], [200, 404, 404]);
    assert.equal((await api.fetch(`/v1/files/${id}`)).status, 404);
  });

  it('answers what was deleted, and 404 ever after', async () => {
    const { id } = await upload();
    const deleted = await api.fetch(`/v1/files/${id}`, { method: 'DELETE', headers: { 'content-type': 'application/json' } });
    assert.deepEqual(await deleted.json(), { id, object: 'file', deleted: true });
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/content'],
      ['DELETE', ''],
    ] as const) {
      const answer = await api.fetch(`/v1/files/${id}${path}`, { method });
      assert.equal(answer.status, 404);
      assert.deepEqual(await envelopeOf(answer), {
        message: `No such File object: ${id}`,
        type: 'invalid_request_error',
        param: 'id',
        code: null,
      });
    }
  });

  it('answers 404 for the file of another tenant', async () => {
    const { id } = await upload();
    const other = api.client('key-b');
    for (const call of [() => other.files.retrieve(id), () => other.files.content(id), () => other.files.delete(id)]) {
      await assert.rejects(async () => void (await call()), OpenAI.NotFoundError);
    }
    assert.deepEqual((await other.files.list()).data, []);
    await assert.rejects(other.files.list({ after: id }), OpenAI.BadRequestError);
    assert.equal((await client.files.retrieve(id)).id, id);
  });

  it('answers 404 from the second in which the file expires', async () => {
    await using later = await startWholeTestApi();
    const file = await later.client().files.create({
      file: await toFile(Buffer.from(LINE), 'x'),
      purpose: 'batch',
      expires_after: { anchor: 'created_at', seconds: 3600 },
    });
    later.advance(3_590_000);
    assert.equal((await later.client().files.retrieve(file.id)).id, file.id);
    later.advance(11_000);
    await assert.rejects(later.client().files.retrieve(file.id), OpenAI.NotFoundError);
    await assert.rejects(later.client().files.content(file.id), OpenAI.NotFoundError);
    assert.deepEqual((await later.client().files.list()).data, []);
  });
});

describe('GET /v1/files/{id}/content without a bucket', () => {
  it('breaks off an answer it cannot finish, so that nobody takes half for the whole', async () => {
    await using bucket = await startTestBucket({ own: true });
    await using far = await startTestApi(bucket);
    const large = await far
      .client()
      .files.create({ file: await toFile(Buffer.concat([Buffer.from(LINE), Buffer.alloc(60_000_000)]), 'x'), purpose: 'batch' });
    const answer = await far.fetch(`/v1/files/${large.id}/content`);
    bucket.minio.process.kill('SIGKILL');
    await assert.rejects(answer.arrayBuffer());
    await until(() => far.log.find(({ message }) => message === 'an answer was interrupted'), { what: 'the line in the log' });
    const refused = await far.fetch(`/v1/files/${large.id}/content`);
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get('retry-after'), '5');
    await envelopeOf(refused);
  });
});

describe('GET /v1/files/{id}/content', () => {
  const content = Buffer.concat([Buffer.from(LINE), Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251))]);
  let file: OpenAI.FileObject;
  before(async () => (file = await upload(content, { name: 'näme "q"\r\n.jsonl' })));
  const get = async (headers: Record<string, string> = {}, method = 'GET') =>
    await api.fetch(`/v1/files/${file.id}/content`, { method, headers });
  const bytes = async (answer: Response) => Buffer.from(await answer.arrayBuffer());

  it('answers the bytes as they came', async () => {
    const answer = await get({ accept: 'application/binary' });
    assert.equal(answer.status, 200);
    assert.deepEqual(await bytes(answer), content);
    assert.deepEqual(
      ['content-type', 'content-length', 'accept-ranges'].map((name) => answer.headers.get(name)),
      ['application/octet-stream', String(content.length), 'bytes'],
    );
    assert.equal(
      answer.headers.get('content-disposition'),
      `attachment; filename="n_me _q___.jsonl"; filename*=UTF-8''n%C3%A4me%20%22q%22%0D%0A.jsonl`,
    );
  });

  it('answers ranges that make up the whole', async () => {
    const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');
    const parts = [];
    for (let start = 0; start < content.length; start += 30_000) {
      const answer = await get({ range: `bytes=${start}-${start + 29_999}` });
      assert.equal(answer.status, 206);
      const end = Math.min(start + 29_999, content.length - 1);
      assert.equal(answer.headers.get('content-range'), `bytes ${start}-${end}/${content.length}`);
      assert.equal(answer.headers.get('content-length'), String(end - start + 1));
      parts.push(await bytes(answer));
    }
    assert.equal(sha256(Buffer.concat(parts)), sha256(content));
  });

  it('knows open and suffix ranges, and ignores what it does not know', async () => {
    assert.deepEqual(await bytes(await get({ range: 'bytes=10-19' })), content.subarray(10, 20));
    assert.deepEqual(await bytes(await get({ range: 'bytes=99990-' })), content.subarray(99_990));
    assert.deepEqual(await bytes(await get({ range: 'bytes=-7' })), content.subarray(-7));
    assert.deepEqual(await bytes(await get({ range: 'bytes=-999999' })), content);
    for (const range of ['bytes=0-1,5-6', 'lines=1-2', 'bytes=9-1', 'bytes=-', 'x'])
      assert.equal((await get({ range })).status, 200, range);
    assert.equal((await get({ range: 'bytes=0-1', 'if-range': '"x"' })).status, 200);
  });

  it('answers 304 to a client that has the content, and goes on with a range only of the same content', async () => {
    const whole = await get({});
    const [tag, modified] = [whole.headers.get('etag') ?? '', whole.headers.get('last-modified') ?? ''];
    await whole.arrayBuffer();
    assert.match(tag, /^"file-[0-9a-f]{24}"$/);
    for (const headers of [{ 'if-none-match': `"x", W/${tag}` }, { 'if-none-match': '*' }, { 'if-modified-since': modified }]) {
      const answer = await get(headers);
      assert.deepEqual([answer.status, (await bytes(answer)).length, answer.headers.get('etag')], [304, 0, tag]);
    }
    for (const headers of [{ 'if-none-match': '"x"', 'if-modified-since': modified }, { 'if-modified-since': 'nonsense' }]) {
      assert.deepEqual(await bytes(await get(headers)), content);
    }
    for (const same of [tag, modified]) {
      assert.deepEqual(await bytes(await get({ range: 'bytes=10-19', 'if-range': same })), content.subarray(10, 20));
    }
    for (const other of [`W/${tag}`, 'Thu, 01 Jan 1970 00:00:00 GMT']) {
      assert.equal((await get({ range: 'bytes=10-19', 'if-range': other })).status, 200);
    }
  });

  it('answers 416 and the size for a range that does not exist', async () => {
    for (const range of [
      `bytes=${content.length}-`,
      'bytes=-0',
      'bytes=999999-1000000',
      'bytes=9999999999999999-',
      `bytes=${'9'.repeat(400)}-`,
    ]) {
      const answer = await get({ range });
      assert.equal(answer.status, 416, range);
      assert.equal(answer.headers.get('content-range'), `bytes */${content.length}`);
      await envelopeOf(answer);
    }
  });

  it('answers HEAD with the length and no bytes', async () => {
    const answer = await get({}, 'HEAD');
    assert.deepEqual([answer.status, answer.headers.get('content-length'), (await bytes(answer)).length], [200, String(content.length), 0]);
  });

  it('answers 400 for user data', async () => {
    const data = await upload('x', { purpose: 'user_data' });
    const answer = await api.fetch(`/v1/files/${data.id}/content`);
    assert.equal(answer.status, 400);
    assert.equal((await envelopeOf(answer)).message, 'Not allowed to download files of purpose: user_data');
  });

  it('stops reading from the bucket when the client hangs up', async () => {
    const large = await upload(Buffer.concat([Buffer.from(LINE), Buffer.alloc(40_000_000)]));
    const opened: { destroyed: boolean }[] = [];
    const { openContent } = api.files;
    api.files.openContent = async (...given) => {
      const found = await openContent(...given);
      if (found !== null) opened.push(found.body);
      return found;
    };
    const socket = await api.send(`GET /v1/files/${large.id}/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-a\r\n\r\n`);
    assert.match(await received(socket, /\r\n\r\n/), /^HTTP\/1\.1 200 /);
    socket.destroy();
    await until(() => opened[0]?.destroyed, { what: 'the stream of the bucket to be destroyed' });
    api.files.openContent = openContent;
  });
});

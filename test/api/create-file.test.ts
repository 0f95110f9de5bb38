import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { until } from '../helpers/until.ts';
import { collect, startTestBucket } from '../storage/test-bucket.ts';
import { envelopeOf, received, startTestApi, startWholeTestApi, type TestApi } from './test-api.ts';

const LINE = '{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n';
const CAP = 1000;

/** A form as raw bytes; a part is a field, or a file when it has a file name. */
function form(
  parts: { name: string; filename?: string; value: string | Buffer }[],
  { boundary = 'b0undary', end = true, epilogue = '' } = {},
): Buffer {
  const bytes = parts.map(({ name, filename, value }) => {
    const file = filename === undefined ? '' : `; filename="${filename}"\r\nContent-Type: application/octet-stream`;
    return Buffer.concat([
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`),
      Buffer.from(value),
      Buffer.from('\r\n'),
    ]);
  });
  return Buffer.concat([...bytes, Buffer.from(end ? `--${boundary}--\r\n${epilogue}` : '')]);
}

const headers = (more: string) =>
  `POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-a\r\ncontent-type: multipart/form-data; boundary=b0undary\r\n${more}\r\n\r\n`;

describe('POST /v1/files', () => {
  let api: TestApi;
  let client: OpenAI;
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nightshift-upload-'));
    api = await startWholeTestApi({
      bodyPace: { idleTimeoutMs: 3000, minBytesPerSecond: 1024 },
      limits: { ...DEFAULT_LIMITS, maxBatchInputBytes: CAP, maxUploadBytes: 4000 },
    });
    client = api.client();
  });
  after(async () => {
    await api[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });

  const post = async (body: Buffer) =>
    await api.fetch('/v1/files', { method: 'POST', body, headers: { 'content-type': 'multipart/form-data; boundary=b0undary' } });
  const upload = async (content: string | Buffer, { name = 'in.jsonl', purpose = 'batch' as OpenAI.FilePurpose } = {}) =>
    await client.files.create({ file: await toFile(Buffer.from(content), name), purpose });
  const fileKeys = async () =>
    (await Promise.all(['files/', 'content/', 'uploads/'].map(async (prefix) => await collect(api.store.list(prefix)))))
      .flat()
      .map(({ key }) => key);

  describe('200', () => {
    it('answers the file object', async () => {
      const file = await upload(LINE);
      assert.match(file.id, /^file-[0-9a-f]{24}$/);
      const { id, created_at, ...rest } = file;
      assert.ok(Math.abs(created_at - api.nowSeconds()) < 5);
      assert.deepEqual(rest, {
        object: 'file',
        bytes: LINE.length,
        expires_at: created_at + 2_592_000,
        filename: 'in.jsonl',
        purpose: 'batch',
        status: 'processed',
        status_details: null,
      });
      assert.deepEqual(await client.files.retrieve(id), file);
    });

    it('takes a chunked stream with the purpose after the file', async () => {
      const path = join(directory, 'streamed.jsonl');
      await writeFile(path, LINE.repeat(5));
      const file = await client.files.create({ file: createReadStream(path), purpose: 'batch' });
      assert.deepEqual([file.filename, file.bytes], ['streamed.jsonl', LINE.length * 5]);
      assert.equal(await (await client.files.content(file.id)).text(), LINE.repeat(5));
    });

    it('takes the fields before the file, and an epilogue after the form', async () => {
      const parts = [
        { name: 'purpose', value: 'batch' },
        { name: 'file', filename: 'form-data.jsonl', value: LINE },
      ];
      const body = form(parts, { epilogue: '\r\n' });
      const socket = await api.send(headers(`content-length: ${body.length}`));
      socket.write(body.subarray(0, -2));
      // The epilogue comes in a packet of its own, after the parser is done.
      await until(() => socket.bytesWritten > 0 && socket.writableLength === 0, { what: 'the form to be sent' });
      socket.write('\r\n');
      assert.match(await received(socket, /\}$/), /^HTTP\/1\.1 200 [^]*"filename":"form-data\.jsonl"/);
      socket.destroy();
    });

    it('takes content cut anywhere, whatever lines look like a boundary', async () => {
      const content = `${LINE}\r\n--b0undar\r\n--b0undary`.slice(0, -1) + '\n';
      const body = form([
        { name: 'file', filename: 'x', value: content },
        { name: 'purpose', value: 'batch' },
      ]);
      const socket = await api.send(headers('transfer-encoding: chunked'));
      for (const byte of body) socket.write(`1\r\n${String.fromCharCode(byte)}\r\n`, 'latin1');
      socket.write('0\r\n\r\n');
      const id = /"id":"(file-[0-9a-f]+)"/.exec(await received(socket, /\}$/))?.[1] ?? '';
      assert.equal(await (await client.files.content(id)).text(), content);
      socket.destroy();
    });

    it('keeps names as the SDK sends them', async () => {
      for (const name of ['näme "q".jsonl', 'upload', '名前 🌙.jsonl', "it's;=,.jsonl", '100%.jsonl'])
        assert.equal((await upload(LINE, { name })).filename, name);
    });

    it('keeps the last part of a path only, and no key depends on it', async () => {
      for (const [sent, kept] of [
        ['../../etc/x.jsonl', 'x.jsonl'],
        ['C:\\a\\b.jsonl', 'b.jsonl'],
        ['..', 'upload'],
        ['a/', 'upload'],
        ['', 'upload'],
      ]) {
        const answer = await post(
          form([
            { name: 'file', filename: sent ?? '', value: LINE },
            { name: 'purpose', value: 'batch' },
          ]),
        );
        assert.equal(Object(await answer.json()).filename, kept);
      }
      assert.ok((await fileKeys()).every((key) => /^(files|content)\/tenant-a\/file-[0-9a-f]{24}$/.test(key)));
    });

    it('takes any name, a BOM, blank lines first, and bad lines later', async () => {
      for (const content of [`\ufeff${LINE}`, `\n \r\n${LINE}`, `${LINE}{malformed\n`, '7', '[1]\n'])
        assert.equal((await upload(content, { name: 'upload' })).status, 'processed');
    });

    it('takes exactly the size cap', async () => {
      assert.equal((await upload('1'.repeat(CAP))).bytes, CAP);
    });

    it('takes user data of any form, larger than a batch may be, without an end', async () => {
      const file = await upload('{'.repeat(CAP + 1), { purpose: 'user_data' });
      assert.deepEqual([file.purpose, file.expires_at], ['user_data', null]);
      assert.equal((await upload('', { purpose: 'user_data' })).bytes, 0);
    });

    it('lets the file go when it is told to', async () => {
      for (const seconds of [3600, 2_592_000]) {
        const file = await client.files.create({
          file: await toFile(Buffer.from(LINE), 'x'),
          purpose: 'batch',
          expires_after: { anchor: 'created_at', seconds },
        });
        assert.equal(file.expires_at, file.created_at + seconds);
      }
    });
  });

  describe('400', () => {
    const file = { name: 'file', filename: 'in.jsonl', value: LINE };
    const purpose = { name: 'purpose', value: 'batch' };
    const refused = async (parts: Parameters<typeof form>[0]) => {
      const answer = await post(form(parts));
      assert.equal(answer.status, 400, JSON.stringify(parts));
      const { param, code, message } = await envelopeOf(answer);
      return { param, code, message };
    };

    it('bounds the name of the file, in code points', async () => {
      for (const [char, count, ok] of [
        ['x', 1024, true],
        ['ä', 1024, true],
        ['x', 1025, false],
        ['ä', 1025, false],
        ['x', 3000, false],
      ] as const) {
        const parts = [{ ...file, filename: char.repeat(count) }, purpose];
        if (ok) assert.equal((await post(form(parts))).status, 200);
        else assert.partialDeepStrictEqual(await refused(parts), { param: 'file', code: 'string_above_max_length' });
      }
    });

    it('names what is missing or unknown', async () => {
      assert.partialDeepStrictEqual(await refused([file]), { param: 'purpose', code: 'missing_required_parameter' });
      assert.partialDeepStrictEqual(await refused([purpose]), { param: 'file', code: 'missing_required_parameter' });
      for (const value of ['banana', 'batch_output', 'fine-tune', '']) {
        assert.partialDeepStrictEqual(await refused([file, { name: 'purpose', value }]), { param: 'purpose', code: 'invalid_value' });
        assert.partialDeepStrictEqual(await refused([{ name: 'purpose', value }, file]), { param: 'purpose', code: 'invalid_value' });
      }
    });

    it('names what is wrong with expires_after', async () => {
      const life = (anchor: string | null, seconds: string | null) => [
        ...(anchor === null ? [] : [{ name: 'expires_after[anchor]', value: anchor }]),
        ...(seconds === null ? [] : [{ name: 'expires_after[seconds]', value: seconds }]),
      ];
      const cases = [
        [life('created_at', '3599'), 'expires_after.seconds', 'integer_below_min_value'],
        [life('created_at', '2592001'), 'expires_after.seconds', 'integer_above_max_value'],
        [life('created_at', '9'.repeat(16)), 'expires_after.seconds', 'integer_above_max_value'],
        [life('created_at', '9'.repeat(400)), 'expires_after.seconds', 'integer_above_max_value'],
        [life('created_at', `-${'9'.repeat(400)}`), 'expires_after.seconds', 'integer_below_min_value'],
        [life('created_at', 'abc'), 'expires_after.seconds', 'invalid_type'],
        [life('created_at', '3600.5'), 'expires_after.seconds', 'invalid_type'],
        [life('last_active_at', '3600'), 'expires_after.anchor', 'invalid_value'],
        [life('created_at', null), 'expires_after.seconds', 'missing_required_parameter'],
        [life(null, '3600'), 'expires_after.anchor', 'missing_required_parameter'],
      ] as const;
      for (const [fields, param, code] of cases) assert.partialDeepStrictEqual(await refused([purpose, ...fields, file]), { param, code });
    });

    it('refuses content without a line, and a first line that is not JSON, wherever the purpose stands', async () => {
      for (const value of ['', '\n', ' \r\n\n', '{malformed json\n', `{malformed\n${LINE}`, Buffer.from([0xff, 0xfe, 0x7b, 0])]) {
        for (const parts of [
          [purpose, { ...file, value }],
          [{ ...file, value }, purpose],
        ])
          assert.match((await refused(parts)).message, /invalid file format.*jsonl/i);
      }
    });

    it('refuses one byte over the cap, wherever the purpose stands, and every client reads why', async () => {
      const large = { ...file, value: '1'.repeat(CAP + 1) };
      for (const parts of [
        [purpose, large],
        [large, purpose],
      ])
        assert.deepEqual(await refused(parts), { param: null, code: 'file_too_large', message: 'File is too large.' });
      await assert.rejects(
        upload('1'.repeat(CAP + 1)),
        (error) => error instanceof OpenAI.BadRequestError && error.code === 'file_too_large',
      );
    });

    it('refuses what is no form', async () => {
      for (const [contentType, body] of [
        ['application/json', '{}'],
        ['multipart/form-data', 'x'],
        ['application/x-www-form-urlencoded', 'purpose=batch'],
        ['multipart/form-data; boundary=b0undary', 'nothing of the kind'],
        ['multipart/form-data; boundary=b0undary', form([purpose, file], { end: false })],
        ['multipart/form-data; boundary=b0undary', form([purpose, file, file])],
      ] as const) {
        const answer = await api.fetch('/v1/files', { method: 'POST', body, headers: { 'content-type': contentType } });
        assert.equal(answer.status, 400, contentType);
        await envelopeOf(answer);
      }
    });

    it('leaves nothing in the bucket', async () => {
      const before = await fileKeys();
      await refused([{ ...file, value: '1'.repeat(CAP + 1) }, purpose]);
      await refused([{ ...file, value: '{' }, purpose]);
      await refused([file]);
      assert.deepEqual(await fileKeys(), before);
    });
  });

  describe('413', () => {
    it('refuses a body over the hard cap, declared or streamed, and the connection lives on', async () => {
      const body = form([
        { name: 'file', filename: 'x', value: 'x'.repeat(5000) },
        { name: 'purpose', value: 'user_data' },
      ]);
      for (const framing of [`content-length: ${body.length}`, 'transfer-encoding: chunked']) {
        const socket = await api.send(headers(framing));
        socket.write(
          framing.startsWith('transfer')
            ? Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')])
            : body,
        );
        const first = await received(socket, /\}$/);
        assert.match(first, /^HTTP\/1\.1 413 [^]*"param":"file","code":"file_too_large"/);
        socket.write('GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
        assert.match(await received(socket), /HTTP\/1\.1 200 /);
      }
    });

    it('surfaces as a status in the SDK, of a large stream as well', async () => {
      const path = join(directory, 'large');
      await writeFile(path, 'x'.repeat(3_000_000));
      for (const file of [createReadStream(path), await toFile(Buffer.alloc(3_000_000), 'x')]) {
        await assert.rejects(
          client.files.create({ file, purpose: 'user_data' }),
          (error) => error instanceof OpenAI.APIError && error.status === 413,
        );
      }
    });
  });

  describe('a client that fails', () => {
    it('leaves no file and no bytes when it hangs up in the middle', async () => {
      await using roomy = await startWholeTestApi();
      const keysThere = async () => (await collect(roomy.store.list(''))).map(({ key }) => key);
      const socket = await roomy.send(headers('content-length: 100000000'));
      const line = `${JSON.stringify('x'.repeat(1023))}\n`;
      socket.write(
        form(
          [
            { name: 'purpose', value: 'batch' },
            { name: 'file', filename: 'x', value: line.repeat(10_000) },
          ],
          { end: false },
        ),
      );
      await until(async () => (await keysThere()).some((key) => key.startsWith('uploads/')), {
        what: 'the first part to go to the bucket',
      });
      socket.destroy();
      assert.equal(
        (await until(() => roomy.log.find((each) => each['aborted'] === true), { what: 'the request to end' }))['path'],
        '/v1/files',
      );
      await until(async () => (await keysThere()).length === 0, { what: 'the bytes to go' });
      assert.deepEqual(
        roomy.log.filter(({ level }) => level !== 'info'),
        [],
      );
    });

    it('gets 408 and a closed connection when the body stalls', async () => {
      const before = await fileKeys();
      const started = performance.now();
      const socket = await api.send(headers('content-length: 296'));
      socket.write(form([{ name: 'file', filename: 'x', value: LINE }], { end: false }).subarray(0, 200));
      const text = await received(socket);
      assert.match(text, /^HTTP\/1\.1 408 [^]*connection: close/i);
      assert.match(text, /"code":"request_timeout"/);
      assert.ok(performance.now() - started < 20_000);
      assert.deepEqual(await fileKeys(), before);
    });
  });
});

describe('POST /v1/files without a bucket', () => {
  it('answers 503 with a Retry-After of a few seconds', async () => {
    await using bucket = await startTestBucket({ own: true });
    await using api = await startTestApi(bucket);
    bucket.minio.process.kill('SIGKILL');
    const answer = await api.fetch('/v1/files', {
      method: 'POST',
      body: form([
        { name: 'file', filename: 'x', value: LINE },
        { name: 'purpose', value: 'batch' },
      ]),
      headers: { 'content-type': 'multipart/form-data; boundary=b0undary' },
    });
    assert.equal(answer.status, 503);
    assert.equal(answer.headers.get('retry-after'), '5');
    await envelopeOf(answer);
    assert.equal((await fetch(`${api.origin}/ready`)).status, 503);
  });
});

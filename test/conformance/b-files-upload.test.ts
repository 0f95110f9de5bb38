import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type OpenAI, toFile } from 'openai';
import OpenAI4 from 'openai-4';
import OpenAI5 from 'openai-5';
import OpenAI6 from 'openai-6';
import { chatLines } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { bucketOf } from './bucket.ts';
import { type PythonCases, runPythonCases } from './python-cases.ts';
import { assertEnvelope, form, json, send, upload } from './wire.ts';

const MONTH_SECONDS = 2_592_000;
const CONTENT = chatLines(3);

describe('B. Files: upload', () => {
  let stack: Stack;
  let client: OpenAI;
  let python: PythonCases;
  let directory: string;
  before(async () => {
    stack = await startStack({ env: { NIGHTSHIFT_API_KEYS: 'key-a=tenant-a' }, withWorker: false });
    client = stack.client();
    directory = await mkdtemp(join(tmpdir(), 'nightshift-conformance-'));
    await writeFile(join(directory, 'in.jsonl'), CONTENT);
    python = await runPythonCases('b_files.py', stack);
  });
  after(async () => {
    await rm(directory, { recursive: true, force: true });
    await stack[Symbol.asyncDispose]();
  });

  /** The File that all these uploads of the same file must come to. */
  function assertIsInput(file: { id: string; bytes: number; created_at: number }): void {
    const { id, created_at } = file;
    assert.match(id, /^file-[0-9a-z]{22,}$/i);
    assert.ok(Math.abs(created_at - Date.now() / 1000) < 60);
    assert.deepEqual(file, {
      id,
      object: 'file',
      bytes: Buffer.byteLength(CONTENT),
      created_at,
      expires_at: created_at + MONTH_SECONDS,
      filename: 'in.jsonl',
      purpose: 'batch',
      status: 'processed',
      status_details: null,
    });
  }

  it('case 11: a Python upload from a path is a processed file for 30 days', () => python.assertHolds(11));

  it('case 12: a Node 7 stream, chunked and with the purpose last, gives the same file', async () => {
    assertIsInput(await client.files.create({ file: createReadStream(join(directory, 'in.jsonl')), purpose: 'batch' }));
  });

  it('case 13: uploads of Node SDK 4, 5 and 6 give the same file', async () => {
    const options = { baseURL: stack.baseURL, apiKey: 'key-a', maxRetries: 0 };
    for (const old of [new OpenAI4(options), new OpenAI5(options), new OpenAI6(options)]) {
      assertIsInput(await old.files.create({ file: createReadStream(join(directory, 'in.jsonl')), purpose: 'batch' }));
      assertIsInput(await old.files.create({ purpose: 'batch', file: await toFile(Buffer.from(CONTENT), 'in.jsonl') }));
    }
  });

  it('case 14: Python bytes, which come with the name `upload`, are accepted', () => python.assertHolds(14));

  it('case 15: a name with an umlaut and quotes round-trips from Python and Node', async () => {
    python.assertHolds(15);
    const name = 'näme "q".jsonl';
    const file = await client.files.create({ file: await toFile(Buffer.from(CONTENT), name), purpose: 'batch' });
    assert.equal(file.filename, name);
    assert.equal((await client.files.retrieve(file.id)).filename, name);
    await writeFile(join(directory, name), CONTENT);
    assert.equal((await client.files.create({ file: createReadStream(join(directory, name)), purpose: 'batch' })).filename, name);
  });

  it('case 16: only the last part of a path is kept, and no key is made of it', async () => {
    for (const [sent, kept] of [
      ['../../etc/x.jsonl', 'x.jsonl'],
      ['C:\\a\\b.jsonl', 'b.jsonl'],
      ['/', 'upload'],
    ] as const) {
      const reply = await upload(stack, { purpose: 'batch' }, CONTENT, sent);
      assert.equal(reply.status, 200, reply.text);
      assert.equal(json(reply)['filename'], kept);
    }
    const keys = await bucketOf(stack).keys('');
    assert.ok(keys.length > 0);
    assert.deepEqual(
      keys.filter((key) => /etc|jsonl|\.\.|\\/.test(key)),
      [],
    );
  });

  it('case 17: expires_after counts from created_at', async () => {
    python.assertHolds(17);
    const expires_after = { anchor: 'created_at', seconds: 3600 } as const;
    const file = await client.files.create({ file: await toFile(Buffer.from(CONTENT), 'in.jsonl'), purpose: 'batch', expires_after });
    assert.equal(file.expires_at, file.created_at + 3600);
    const longest = await upload(
      stack,
      { purpose: 'batch', 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '2592000' },
      CONTENT,
    );
    assert.equal(longest.status, 200);
  });

  it('case 18: a wrong or half expires_after is 400 and names it', async () => {
    python.assertHolds(18);
    const fields = (anchor: string | null, seconds: string | null) => ({
      purpose: 'batch',
      ...(anchor === null ? {} : { 'expires_after[anchor]': anchor }),
      ...(seconds === null ? {} : { 'expires_after[seconds]': seconds }),
    });
    for (const [anchor, seconds, param, code] of [
      ['created_at', '3599', 'expires_after.seconds', 'integer_below_min_value'],
      ['created_at', '2592001', 'expires_after.seconds', 'integer_above_max_value'],
      ['created_at', 'abc', 'expires_after.seconds', 'invalid_type'],
      ['created_at', '3600.5', 'expires_after.seconds', 'invalid_type'],
      ['last_active_at', '3600', 'expires_after.anchor', 'invalid_value'],
      ['created_at', null, 'expires_after.seconds', 'missing_required_parameter'],
      [null, '3600', 'expires_after.anchor', 'missing_required_parameter'],
    ] as const) {
      assertEnvelope(await upload(stack, fields(anchor, seconds), CONTENT), 400, { type: 'invalid_request_error', param, code });
    }
  });

  it('case 19: a missing file or purpose, or a purpose that cannot be uploaded, is 400', async () => {
    const missing = 'missing_required_parameter';
    assertEnvelope(await upload(stack, {}, CONTENT), 400, { type: 'invalid_request_error', param: 'purpose', code: missing });
    assertEnvelope(await upload(stack, { purpose: 'batch' }, null), 400, { type: 'invalid_request_error', param: 'file', code: missing });
    for (const purpose of ['banana', 'batch_output']) {
      assertEnvelope(await upload(stack, { purpose }, CONTENT), 400, {
        type: 'invalid_request_error',
        param: 'purpose',
        code: 'invalid_value',
      });
      const fileFirst = form([
        { disposition: 'name="file"; filename="in.jsonl"', content: CONTENT },
        { disposition: 'name="purpose"', content: purpose },
      ]);
      assertEnvelope(await send(stack, '/v1/files', { method: 'POST', ...fileFirst }), 400, { param: 'purpose', code: 'invalid_value' });
    }
  });

  it('case 20: an empty file, or one of blank lines, is 400', async () => {
    python.assertHolds(20);
    for (const content of ['', '\n', ' \r\n\t\n\n']) {
      const error = assertEnvelope(await upload(stack, { purpose: 'batch' }, content), 400, {
        type: 'invalid_request_error',
        param: null,
        code: null,
      });
      assert.match(error.message, /Invalid file format.*jsonl/);
    }
  });

  it('case 21: a first line that is no JSON is 400, a later one is accepted', async () => {
    for (const content of ['{malformed json\n', `\n\n{malformed json\n${CONTENT}`]) {
      const error = assertEnvelope(await upload(stack, { purpose: 'batch' }, content), 400, { type: 'invalid_request_error' });
      assert.match(error.message, /Invalid file format.*jsonl/);
    }
    assert.equal((await upload(stack, { purpose: 'batch' }, `${CONTENT}{malformed json\n`)).status, 200);
  });

  it('case 25: retrieve, list by purpose and waiting for processing return at once', async () => {
    python.assertHolds(25);
    const file = await client.files.create({ file: await toFile(Buffer.from(CONTENT), 'in.jsonl'), purpose: 'batch' });
    const notes = await client.files.create({ file: await toFile(Buffer.from('notes'), 'notes.txt'), purpose: 'user_data' });
    assert.deepEqual(await client.files.retrieve(file.id), file);
    const listed = [];
    for await (const each of client.files.list({ purpose: 'batch' })) listed.push(each.id);
    assert.ok(listed.includes(file.id) && !listed.includes(notes.id));
    const began = performance.now();
    // Who has to ask twice waits for a minute.
    assert.equal((await client.files.waitForProcessing(file.id, { pollInterval: 60_000 })).status, 'processed');
    assert.ok(performance.now() - began < 30_000);
  });

  it('case 28: the content of an uploaded file is byte for byte what was sent', async () => {
    python.assertHolds(28);
    const content = Buffer.concat([Buffer.from(`\ufeff${CONTENT}\r\n{"x":"\u2028 ü 😀"}`), Buffer.from([0xff, 0xfe, 0x00, 0x0a])]);
    const file = await client.files.create({ file: await toFile(content, 'in.jsonl'), purpose: 'batch' });
    assert.equal(file.bytes, content.length);
    assert.deepEqual(Buffer.from(await (await client.files.content(file.id)).arrayBuffer()), content);
  });
});

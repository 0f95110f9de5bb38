import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { type Bucket, bucketOf, expireFile } from './bucket.ts';
import { type PythonCases, runPythonCases } from './python-cases.ts';
import { REDUCED } from './reduced.ts';
import { assertEnvelope, fileForm, json, send, upload } from './wire.ts';

const [CAP, HARD_CAP] = REDUCED.uploadCaps;
const IDLE_SECONDS = REDUCED.uploadIdleSeconds;
const HEAD = '{"a":1}\n';

describe('B. Files: limits, lists and ends', () => {
  let stack: Stack;
  let client: OpenAI;
  let bucket: Bucket;
  let python: PythonCases;
  let directory: string;
  before(async () => {
    stack = await startStack({
      ownMinio: true,
      env: {
        NIGHTSHIFT_API_KEYS: 'key-a=tenant-a,key-b=tenant-b,key-pages=tenant-pages,key-python-pages=tenant-python-pages',
        NIGHTSHIFT_MAX_BATCH_INPUT_BYTES: String(CAP),
        NIGHTSHIFT_MAX_UPLOAD_BYTES: String(HARD_CAP),
        NIGHTSHIFT_UPLOAD_IDLE_TIMEOUT_SECONDS: String(IDLE_SECONDS),
        NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '1',
      },
    });
    client = stack.client();
    bucket = bucketOf(stack);
    directory = await mkdtemp(join(tmpdir(), 'nightshift-conformance-'));
    python = await runPythonCases('b_file_life.py', stack, String(CAP), String(HARD_CAP));
  });
  after(async () => {
    await rm(directory, { recursive: true, force: true });
    await stack[Symbol.asyncDispose]();
  });

  const make = async (as: OpenAI, content: string, purpose: 'batch' | 'user_data' = 'batch') =>
    await as.files.create({ file: await toFile(Buffer.from(content), 'in.jsonl'), purpose });

  /** Parts of multipart uploads that are under way, as MinIO keeps them: it has no call that lists them all. */
  async function parts(): Promise<string[]> {
    const folder = join(stack.minio.directory, '.minio.sys/multipart');
    // Where MinIO removes a folder meanwhile, there is no list.
    const names = await until(async () => await readdir(folder, { recursive: true }).catch(() => null), { what: 'a list of the parts' });
    return names.filter((name) => /part\.\d+$/.test(name));
  }

  /** Waits until the bucket holds content of exactly the files that are listed, and no upload is under way. */
  async function assertNothingStaged(): Promise<void> {
    await until(
      async () => {
        const [content, files, uploads] = await Promise.all([bucket.keys('content/'), bucket.keys('files/'), bucket.keys('uploads/')]);
        const recorded = new Set(files.map((key) => key.replace(/^files/, 'content')));
        return uploads.length === 0 && (await parts()).length === 0 && content.every((key) => recorded.has(key));
      },
      { what: 'staged bytes to be removed' },
    );
  }

  it('case 22: a file of exactly the cap is accepted, one byte more is refused and leaves nothing', async () => {
    python.assertHolds(22);
    const padded = (bytes: number) => HEAD.padEnd(bytes, ' ');
    assert.equal(json(await upload(stack, { purpose: 'batch' }, padded(CAP)))['bytes'], CAP);
    const tooLarge = { type: 'invalid_request_error', param: null, code: 'file_too_large', message: 'File is too large.' };
    assertEnvelope(await upload(stack, { purpose: 'batch' }, padded(CAP + 1)), 400, tooLarge);

    const path = join(directory, 'large.jsonl');
    for (const [bytes, purpose, status] of [
      [CAP + 1, 'batch', 400],
      [HARD_CAP + 1, 'batch', 400],
      [HARD_CAP + 1, 'user_data', 413],
    ] as const) {
      await writeFile(path, padded(bytes));
      const isRefused = (error: unknown) => error instanceof OpenAI.APIError && error.status === status && error.code === 'file_too_large';
      // Once with a length, once chunked.
      await assert.rejects(client.files.create({ purpose, file: await toFile(Buffer.from(padded(bytes)), 'in.jsonl') }), (error) => {
        // A declared length over the hard cap is refused before the purpose can be known.
        return bytes > HARD_CAP ? error instanceof OpenAI.APIError && error.status === 413 : isRefused(error);
      });
      await assert.rejects(client.files.create({ purpose, file: createReadStream(path) }), isRefused);
    }
    await assertNothingStaged();
  });

  it('case 23: an upload whose client goes away becomes no file and leaves no parts', async () => {
    const files = async () => (await client.files.list()).data.map((file) => file.id);
    const before = await files();
    const { headers, body } = fileForm({ purpose: 'user_data' }, Buffer.alloc(HARD_CAP - 10_000));
    const sending = request(`${stack.origin}/v1/files`, {
      method: 'POST',
      headers: { ...headers, authorization: 'Bearer key-a', 'content-length': String(body.length) },
    });
    sending.on('error', () => {});
    sending.write(body.subarray(0, body.length - 100));
    await until(async () => (await parts()).length > 0, { what: 'the first part in the bucket' });
    sending.destroy();
    await assertNothingStaged();
    assert.deepEqual(await files(), before);
  });

  it('case 24: an upload that stalls is ended within the idle timeout and holds up nobody', async () => {
    const { port, hostname } = new URL(stack.origin);
    const stalled = Array.from({ length: 20 }, () => {
      const socket = connect(Number(port), hostname);
      socket.write(
        'POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-a\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: 296\r\n\r\n',
      );
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.on('error', () => {});
      return once(socket, 'close').then(() => text);
    });
    const began = performance.now();
    await make(client, HEAD);
    assert.ok(performance.now() - began < IDLE_SECONDS * 1000, 'others are served meanwhile');
    for (const answer of await Promise.all(stalled)) assert.match(answer, /^HTTP\/1\.1 408 [^]*"request_timeout"/);
    assert.ok(performance.now() - began < IDLE_SECONDS * 1000 + 20_000);
    await assertNothingStaged();
  });

  it('case 26: ascending pages of two yield five files once each, in the order of creation', async () => {
    python.assertHolds(26);
    const mine = stack.client('key-pages');
    const made: string[] = [];
    for (let index = 0; index < 5; index += 1) made.push((await make(mine, HEAD)).id);
    const [ascending, descending]: string[][] = [[], []];
    for await (const file of mine.files.list({ order: 'asc', limit: 2 })) ascending?.push(file.id);
    for await (const file of mine.files.list({ limit: 2 })) descending?.push(file.id);
    assert.deepEqual(ascending, made);
    assert.deepEqual(descending, made.toReversed());
  });

  it('case 27: a deleted file is gone for retrieve, content and delete', async () => {
    python.assertHolds(27);
    const { id } = await make(client, HEAD);
    assert.deepEqual(json(await send(stack, `/v1/files/${id}`, { method: 'DELETE', headers: { 'content-type': 'application/json' } })), {
      id,
      object: 'file',
      deleted: true,
    });
    await assertUnknown(id, 'key-a');
  });

  it('case 29: the content of a user_data file is not handed out', async () => {
    python.assertHolds(29);
    const { id } = await make(client, 'notes', 'user_data');
    const message = 'Not allowed to download files of purpose: user_data';
    assertEnvelope(await send(stack, `/v1/files/${id}/content`), 400, { type: 'invalid_request_error', param: null, code: null, message });
  });

  it("case 30: another tenant's file is unknown", async () => {
    const { id } = await make(client, HEAD);
    await assertUnknown(id, 'key-b');
    assert.deepEqual((await stack.client('key-b').files.list()).data, []);
    assert.equal((await client.files.retrieve(id)).id, id);
  });

  it('case 31: a file past its time is unknown, and its bytes go', async () => {
    const { id } = await make(client, HEAD);
    assert.equal((await bucket.keys(`content/tenant-a/${id}`)).length, 1);
    await expireFile(stack, 'tenant-a', id);
    await assertUnknown(id, 'key-a');
    assert.ok((await client.files.list()).data.every((file) => file.id !== id));
    await until(async () => (await bucket.keys(`content/tenant-a/${id}`)).length === 0, { what: 'the bytes to be removed', seconds: 60 });
    await assertUnknown(id, 'key-a');
  });

  async function assertUnknown(id: string, key: string): Promise<void> {
    const unknown = { type: 'invalid_request_error', param: 'id', code: null, message: `No such File object: ${id}` };
    assertEnvelope(await send(stack, `/v1/files/${id}`, { key }), 404, unknown);
    assertEnvelope(await send(stack, `/v1/files/${id}/content`, { key }), 404, unknown);
    assertEnvelope(await send(stack, `/v1/files/${id}`, { key, method: 'DELETE' }), 404, unknown);
  }
});

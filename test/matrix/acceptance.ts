import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type * as Sdk from 'openai';
import type OpenAI from 'openai';
import type { Uploadable } from 'openai';

/**
 * What a user of the official Node SDK writes: `acceptance.ts <package> <base URL> <key> <file>`. It runs unchanged with
 * every major version that people have; `openai-4` to `openai-6` are other versions of the same package.
 */
const [, , packageName = 'openai', baseURL, apiKey, path = ''] = process.argv;
const sdk: typeof Sdk = await import(packageName);
const { toFile } = sdk;
const { VERSION }: { VERSION: string } = await import(`${packageName}/version`);

const client = new sdk.default({ baseURL, apiKey });

const ENDED = new Set(['completed', 'failed', 'expired', 'cancelled']);
const line = (id: string, script?: string) =>
  JSON.stringify({
    custom_id: id,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model: 'example-model', messages: [{ role: 'user', content: `Say ${id}` }], user: script },
  });
const rows = async (file: string | null | undefined) => {
  const text = await (await client.files.content(String(file))).text();
  return text
    .split('\n')
    .filter((row) => row !== '')
    .map((row) => JSON.parse(row));
};

async function create(inputFileId: string): Promise<OpenAI.Batch> {
  return await client.batches.create({ input_file_id: inputFileId, endpoint: '/v1/chat/completions', completion_window: '24h' });
}

async function wait({ id }: OpenAI.Batch): Promise<OpenAI.Batch> {
  for (const deadline = Date.now() + 90_000; Date.now() < deadline; await delay(200)) {
    const batch = await client.batches.retrieve(id);
    if (ENDED.has(batch.status)) return batch;
    const { total = 0, completed = 0 } = batch.request_counts ?? {};
    assert.ok(completed <= total || total === 0);
  }
  throw new Error(`batch ${id} does not end`);
}

// Every form of upload that the SDK offers: the major version that brought it, the name that the file gets, and its bytes.
const two = Buffer.from(`${line('a')}\n${line('b')}\n`);
const whole = await readFile(path);
const anonymous = () => Readable.from([two.subarray(0, 10), two.subarray(10)]);
const fetched = async (id: string) => await fetch(`${baseURL}/files/${id}/content`, { headers: { authorization: `Bearer ${apiKey}` } });
const forms: readonly [since: number, filename: string, content: Buffer, file: () => Promise<Uploadable> | Uploadable][] = [
  [4, basename(path), whole, () => createReadStream(path)],
  [4, 'buffer.jsonl', two, async () => await toFile(two, 'buffer.jsonl')],
  [4, 'file.jsonl', two, () => new File([two], 'file.jsonl')],
  [4, 'named.jsonl', whole, async () => await toFile(createReadStream(path), 'named.jsonl')],
  [4, 'unknown_file', two, async () => await toFile(anonymous())],
  [4, 'unknown_file', two, async () => await toFile(new Blob([two]))],
  [4, 'content', whole, async () => await fetched(String(uploads[0]?.id))],
  [5, 'unknown_file', two, anonymous],
  [5, 'unknown_file', two, () => new Response(two)],
  [6, 'stream.jsonl', two, () => sdk.toStreamingFile(anonymous(), 'stream.jsonl')],
  // Its types know no Blob without a name, but it takes one.
  [7, 'blob', two, () => Object(new Blob([two]))],
];
const offered = forms.filter(([since]) => Number.parseInt(VERSION, 10) >= since);
const uploads: OpenAI.FileObject[] = [];
for (const [, filename, content, file] of offered) {
  const uploaded = await client.files.create({ file: await file(), purpose: 'batch' });
  uploads.push(uploaded);
  assert.deepEqual([uploaded.object, uploaded.purpose, uploaded.status, uploaded.filename], ['file', 'batch', 'processed', filename]);
  assert.equal((await client.files.waitForProcessing(uploaded.id)).id, uploaded.id);
  assert.deepEqual(Buffer.from(await (await client.files.content(uploaded.id)).arrayBuffer()), content, filename);
}
uploads.push(await client.files.create({ purpose: 'batch', file: await toFile(two, 'purpose-first.jsonl') }));

// Create, poll, download, read the answers.
const [fromPath, fromBuffer, fromFile] = uploads.map(({ id }) => id);
const batch = await wait(await create(String(fromPath)));
assert.equal(batch.status, 'completed', JSON.stringify(batch));
assert.deepEqual(batch.request_counts, { total: 40, completed: 39, failed: 1 });
const answers = await rows(batch.output_file_id);
assert.equal(answers.length, 39);
for (const answer of answers) assert.equal(typeof answer.response.body.choices[0].message.content, 'string');
const [error] = await rows(batch.error_file_id);
assert.deepEqual([error.response.status_code, error.error], [400, null]);
const streamed = await client.files.content(String(batch.output_file_id));
let bytes = 0;
// Version 4 answers with a stream of Node's, the others with one of the web: both are iterable.
const body: AsyncIterable<Uint8Array> = Object(streamed.body);
for await (const chunk of body) bytes += chunk.length;
assert.equal(bytes, (await client.files.retrieve(String(batch.output_file_id))).bytes);
for (const id of [fromBuffer, fromFile]) {
  assert.deepEqual((await wait(await create(String(id)))).request_counts, { total: 2, completed: 2, failed: 0 });
}

// Cancel.
const hanging = Array.from({ length: 3 }, (_, index) => line(`hang-${index}`, 'mode=hang')).join('\n');
const slow = await create((await client.files.create({ file: await toFile(Buffer.from(hanging), 'slow.jsonl'), purpose: 'batch' })).id);
assert.equal((await client.batches.cancel(slow.id)).status, 'cancelling');
assert.equal((await wait(slow)).status, 'cancelled');

// Error classes.
const { BadRequestError, NotFoundError, ConflictError, AuthenticationError } = sdk;
async function refused<T extends Error>(kind: abstract new (...given: never[]) => T, call: () => Promise<unknown>): Promise<T> {
  const thrown = await call().then(
    () => assert.fail('not refused'),
    (reason: unknown) => reason,
  );
  assert.ok(thrown instanceof kind, String(thrown));
  return thrown;
}
const conflict = await refused(ConflictError, async () => await client.batches.cancel(batch.id));
assert.match(conflict.message, /Cannot cancel a batch with status 'completed'\./);
assert.equal(conflict.type, 'invalid_request_error');
assert.match((await refused(NotFoundError, async () => await client.batches.retrieve('batch_unknown'))).message, /No batch found/);
assert.equal((await refused(NotFoundError, async () => await client.files.retrieve('file-unknown'))).param, 'id');
const endpoint: OpenAI.BatchCreateParams['endpoint'] = Object('/v1/foo').toString();
const bad = { input_file_id: String(fromPath), endpoint, completion_window: '24h' } as const;
assert.equal((await refused(BadRequestError, async () => await client.batches.create(bad))).code, 'invalid_value');
const stranger = new sdk.default({ baseURL, apiKey: 'wrong' });
assert.equal((await refused(AuthenticationError, async () => await stranger.batches.list())).status, 401);

// Pages.
const batchIds: string[] = [];
for await (const each of client.batches.list({ limit: 2 })) batchIds.push(each.id);
assert.equal(batchIds.length, 4);
assert.equal(new Set(batchIds).size, 4);
const fileIds: string[] = [];
for await (const each of client.files.list({ limit: 4, purpose: 'batch' })) fileIds.push(each.id);
// One more that was cancelled.
assert.equal(new Set(fileIds).size, uploads.length + 1);

// Delete: the method was called `del` up to version 4.
const files: Record<string, unknown> = Object(client.files);
const remove = typeof files['delete'] === 'function' ? files['delete'] : files['del'];
assert.ok(typeof remove === 'function');
assert.equal((await remove.call(client.files, fromPath)).deleted, true);
await refused(NotFoundError, async () => await client.files.content(String(fromPath)));
process.stdout.write(`ok ${packageName}\n`);

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { Client, Connection } from '@temporalio/client';
import type OpenAI from 'openai';
import { EXAMPLES, runExample } from '../docs/examples.ts';
import { runTutorial } from '../docs/tutorial.ts';
import { bareEnvironment } from '../helpers/environment.ts';
import { chatLine, ended, resultLines, submit } from '../helpers/lines.ts';
import { pythonWithSdk } from '../helpers/python.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const NIGHTSHIFT = fileURLToPath(new URL('../../bin/nightshift.mjs', import.meta.url));
const FIRST_BATCH = fileURLToPath(new URL('../../examples/first-batch.jsonl', import.meta.url));
/** With the settings that ship. */
let stack: Stack;
let client: OpenAI;
let folder: string;

before(async () => {
  [stack, folder] = await Promise.all([startStack(), mkdtemp(join(tmpdir(), 'nightshift-clients-'))]);
  client = stack.client();
});
after(async () => {
  await stack[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

describe('the official Node SDK, unmodified', () => {
  it('runs the example batch: upload, create, poll, download, parse', async () => {
    const file = await client.files.create({ file: createReadStream(FIRST_BATCH), purpose: 'batch' });
    assert.equal(file.filename, 'first-batch.jsonl');
    const created = await client.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { team: 'docs' },
    });
    assert.equal(created.status, 'validating');
    assert.equal(created.expires_at, created.created_at + 86_400);
    assert.deepEqual(created.metadata, { team: 'docs' });

    const seen: string[] = [created.status];
    let counts = { total: 0, completed: 0, failed: 0 };
    const batch = await until(
      async () => {
        const now = await client.batches.retrieve(created.id);
        if (seen.at(-1) !== now.status) seen.push(now.status);
        const next = now.request_counts ?? counts;
        assert.ok(next.completed >= counts.completed && next.failed >= counts.failed, 'counts never step back');
        assert.ok(next.completed + next.failed <= next.total || next.total === 0, 'counts never exceed the total');
        counts = next;
        return now.status === 'completed' ? now : null;
      },
      { what: 'the batch to complete' },
    );
    const legal = ['validating', 'in_progress', 'finalizing', 'completed'];
    assert.deepEqual(
      seen,
      legal.filter((status) => seen.includes(status)),
    );
    assert.deepEqual(batch.request_counts, { total: 40, completed: 39, failed: 1 });
    assert.equal(batch.model, 'example-model');
    assert.ok((batch.usage?.total_tokens ?? 0) > 0);

    const output = await resultLines(client, batch.output_file_id);
    const errors = await resultLines(client, batch.error_file_id);
    assert.equal(output.length, 39);
    assert.equal(errors.length, 1);
    assert.equal(errors[0]?.response?.status_code, 400);
    assert.equal(errors[0]?.error, null);
    const input = await (await client.files.content(file.id)).text();
    const wanted = input
      .trim()
      .split('\n')
      .map((line): string => JSON.parse(line).custom_id);
    assert.deepEqual(
      output.map((line) => line.custom_id),
      wanted.filter((id) => id !== errors[0]?.custom_id),
      'in the order of the input',
    );
    for (const line of output) {
      assert.match(line.id, /^batch_req_[0-9a-f]{32}$/);
      const body: OpenAI.ChatCompletion = Object(line.response?.body);
      assert.equal(typeof body.choices[0]?.message.content, 'string');
    }
    const outputFile = await client.files.retrieve(String(batch.output_file_id));
    assert.equal(outputFile.purpose, 'batch_output');
    assert.equal(outputFile.bytes, (await (await client.files.content(outputFile.id)).arrayBuffer()).byteLength);
  });

  it('answers every endpoint it names', async () => {
    const inputs: [OpenAI.BatchCreateParams['endpoint'], object][] = [
      ['/v1/completions', { prompt: 'Once' }],
      ['/v1/embeddings', { input: ['a', 'b'] }],
      ['/v1/responses', { input: 'Hello' }],
      ['/v1/moderations', { input: 'Hello' }],
    ];
    for (const [endpoint, body] of inputs) {
      const line = JSON.stringify({ custom_id: 'one', method: 'POST', url: endpoint, body: { model: 'example-model', ...body } });
      const batch = await ended(client, (await submit(client, line, { endpoint })).id);
      assert.equal(batch.status, 'completed', endpoint);
      assert.equal((await resultLines(client, batch.output_file_id))[0]?.response?.status_code, 200);
    }
  });
});

/** Runs a command as a user does, with the variables that the OpenAI SDKs read too. */
async function nightshift(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [NIGHTSHIFT, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: bareEnvironment({ OPENAI_BASE_URL: stack.baseURL, OPENAI_API_KEY: 'key-a' }),
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr };
}

describe('the command line', () => {
  it('submits, waits, downloads, shows and lists', async () => {
    const lines = [chatLine('good-1'), chatLine('bad', 'status=400'), chatLine('good-2')];
    await writeFile(join(folder, 'in.jsonl'), lines.join('\n'));
    const submitted = await nightshift('submit', 'in.jsonl', '-o', 'results', '--metadata', 'team=nights');
    assert.equal(submitted.code, 3, submitted.stderr);
    assert.match(
      submitted.stderr,
      /completed \[█+\] 100% {2}3 of 3 {2}1 failed[\s\S]*failed +1 line: 400 invalid_request_error: .* \(bad\)/,
    );
    const [id = '', output = '', errors = ''] = submitted.stdout.trim().split('\n');
    const customIds = async (path: string) =>
      (await readFile(join(folder, path), 'utf8'))
        .trim()
        .split('\n')
        .map((line) => String(JSON.parse(line).custom_id));
    assert.deepEqual([await customIds(output), await customIds(errors)], [['good-1', 'good-2'], ['bad']]);

    const shown = await nightshift('status', id);
    assert.match(shown.stdout, /status +completed\n[\s\S]*2 completed, 1 failed, 3 in all[\s\S]*"team":"nights"/);
    assert.equal(shown.code, 3);
    const listed = await nightshift('list', '--status', 'completed', '--json');
    assert.ok(
      JSON.parse(listed.stdout).data.some((batch: { id: string }) => batch.id === id),
      listed.stdout,
    );
    const downloaded = await nightshift('download', id, '-o', 'again');
    assert.equal(downloaded.code, 0, downloaded.stderr);
    const saved = (await readdir(join(folder, 'again'))).toSorted();
    assert.deepEqual(saved, [`${id}_error.jsonl`, `${id}_output.jsonl`]);
    assert.equal(await readFile(join(folder, 'again', saved[1] ?? ''), 'utf8'), await readFile(join(folder, output), 'utf8'));
  });

  it('sends equal requests once, retries those that failed, and joins the results of both batches', async () => {
    const equal = (id: string, text: string, script: string) => chatLine(text, `marker=${text};${script}`).replace(`"${text}"`, `"${id}"`);
    const input = Array.from({ length: 1200 }, (_, at) => equal(`r${at}`, `equal-${at % 4}`, at % 4 === 3 ? 'status=400,200' : '')).join(
      '\n',
    );
    const { id } = await submit(client, input, { metadata: { nightshift_deduplicate: 'true' } });
    const batch = await ended(client, id);
    assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: 1200, completed: 900, failed: 300 }]);
    assert.equal(Object(batch).nightshift.deduplicated, 1196);
    const failed = await nightshift('results', id, '--status', 'failed', '--limit', '2', '--json');
    assert.deepEqual(
      failed.stdout
        .trimEnd()
        .split('\n')
        .map((line) => [JSON.parse(line).custom_id, JSON.parse(line).status]),
      [
        ['r3', 400],
        ['r7', 400],
      ],
    );
    assert.equal((await nightshift('retry', id, '--wait', '-o', 'retried')).code, 0);
    const merged = await nightshift('download', id, '--merged', '-o', 'merged');
    assert.equal(merged.code, 0, merged.stderr);
    const lines = (await readFile(join(folder, 'merged', `${id}_merged.jsonl`), 'utf8')).trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).custom_id),
      Array.from({ length: 1200 }, (_, at) => `r${at}`),
    );
    assert.ok(lines.every((line) => JSON.parse(line).response.status_code === 200));
    const calls = await stack.upstream.calls();
    assert.deepEqual(
      [0, 1, 2, 3].map((at) => calls[`equal-${at}`]),
      [1, 1, 1, 2],
    );
  });

  it('runs an input larger than a batch as a group, retries it, and joins results in the order of the input', async () => {
    await using api = await stack.startAnotherApi({ NIGHTSHIFT_MAX_REQUESTS_PER_BATCH: '3' });
    const group = async (...args: string[]) => await nightshift(...args, '--base-url', `${api.origin}/v1`, '--api-key', 'key-a');
    const ids = Array.from({ length: 7 }, (_, at) => `big-${at}`);
    const script = (id: string) => (id === 'big-1' ? `marker=${id};status=400,200` : `marker=${id}`);
    await writeFile(join(folder, 'big.jsonl.gz'), gzipSync(ids.map((id) => `${chatLine(id, script(id))}\n`).join('')));
    const submitted = await group('submit', 'big.jsonl.gz', '-o', 'big');
    assert.equal(submitted.code, 3, submitted.stderr);
    const [id = '', output = '', errors = ''] = submitted.stdout.trim().split('\n');
    const customIds = async (path: string) =>
      (await readFile(join(folder, path), 'utf8'))
        .trim()
        .split('\n')
        .map((line) => String(JSON.parse(line).custom_id));
    assert.deepEqual([await customIds(output), await customIds(errors)], [ids.filter((each) => each !== 'big-1'), ['big-1']]);
    assert.match(
      (await group('status', id)).stdout,
      /3: 3 completed\n[\s\S]*6 completed, 1 failed, 7 in all\n[\s\S]*part +1, batch_\w+: 1 requests failed/,
    );

    const retried = await group('retry', id, '-o', 'big-again');
    assert.equal(retried.code, 0, retried.stderr);
    assert.deepEqual(await customIds(join('big-again', `${id}_output.jsonl`)), ids);
    const again = await group('submit', 'big.jsonl.gz', '-o', 'big-again', '--force');
    assert.deepEqual([again.code, again.stdout.split('\n')[0]], [0, id], again.stderr);
    const calls = await stack.upstream.calls();
    assert.deepEqual(
      ids.map((each) => calls[each]),
      [1, 2, 1, 1, 1, 1, 1],
    );
  });

  it('estimates a batch, and the SDK reads the same', async () => {
    await writeFile(join(folder, 'estimate.jsonl'), [chatLine('a'), chatLine('b'), chatLine('a')].join('\n'));
    const estimated = await nightshift('estimate', 'estimate.jsonl', '--json');
    assert.equal(estimated.code, 1, estimated.stdout);
    const found = JSON.parse(estimated.stdout);
    assert.deepEqual([found.requests, found.errors.data[0].line, found.models[0].requests], [3, 3, 2]);
    const body = { input_file_id: found.input_file_id, endpoint: found.endpoint, completion_window: '24h' };
    // Where models go and how fast they are may be told in between.
    const { errors, requests, input_tokens } = found;
    assert.partialDeepStrictEqual(await client.post('/batches/estimate', { body }), { errors, requests, input_tokens });
  });

  it('cancels a batch that runs, and says so of one that has ended', async () => {
    await writeFile(join(folder, 'slow.jsonl'), Array.from({ length: 20 }, (_, n) => chatLine(`slow-${n}`, 'delay=60000')).join('\n'));
    const { stdout } = await nightshift('submit', 'slow.jsonl');
    const id = stdout.trim();
    const cancelled = await nightshift('cancel', id, '--wait');
    assert.deepEqual([cancelled.code, cancelled.stdout], [0, `${id} is cancelled\n`]);
    const json = await nightshift('status', id, '--wait', '--json');
    assert.deepEqual([json.code, JSON.parse(json.stdout).status], [4, 'cancelled']);
  });

  it('uploads what is packed, goes on from a part of a download, and makes no second batch with the same key', async () => {
    const text = Array.from({ length: 3 }, (_, n) => `${chatLine(`packed-${n}`)}\n`).join('');
    await writeFile(join(folder, 'packed.jsonl.gz'), gzipSync(text));
    const uploaded = await nightshift('files', 'upload', 'packed.jsonl.gz');
    const fileId = uploaded.stdout.trim();
    const part = join(folder, `back.jsonl.${fileId}.part`);
    await writeFile(part, text.slice(0, 10));
    assert.equal((await nightshift('files', 'get', fileId, '-o', 'back.jsonl')).code, 0);
    assert.equal(await readFile(join(folder, 'back.jsonl'), 'utf8'), text);

    const create = ['submit', '--file-id', fileId, '--idempotency-key', 'twice'];
    const [first, second] = [await nightshift(...create), await nightshift(...create)];
    assert.equal(first.stdout, second.stdout, first.stderr + second.stderr);
    assert.equal((await nightshift('wait', first.stdout.trim())).code, 0);
    assert.equal((await nightshift('files', 'rm', fileId)).code, 0);
    assert.equal((await nightshift('doctor')).code, 0);
  });
});

describe('examples', () => {
  for (const language of ['python', 'node', 'curl'] as const) {
    it(`${language} maps results to requests, and runs those that failed again`, async () => {
      const example = EXAMPLES[language](await pythonWithSdk());
      const run = async (name: string) => await runExample(example, { input: join(folder, name), baseURL: stack.baseURL, apiKey: 'key-a' });
      const lines = [chatLine('once', `marker=example-${language}; status=400,200`), chatLine('good'), chatLine('never', 'status=400')];
      await writeFile(join(folder, `${language}.jsonl`), `${lines.join('\n')}\n`);
      const results = ({ stdout }: { stdout: string }) =>
        stdout
          .split('\n')
          .map((line) => line.split('\t').slice(0, 2).join(' '))
          .toSorted();

      const first = await run(`${language}.jsonl`);
      assert.deepEqual([first.code, results(first)], [0, ['', 'good ok', 'never failed', 'once failed']], first.stderr);
      assert.match(first.stdout, /^never\tfailed\t400 .*scripted/m);
      assert.match(first.stderr, /Failed requests: 2\./);
      const second = await run(`${language}.failed.jsonl`);
      assert.deepEqual([second.code, results(second)], [0, ['', 'never failed', 'once ok']], second.stderr);

      await writeFile(join(folder, `${language}-bad.jsonl`), chatLine('bad').replace('"POST"', '"GET"'));
      const refused = await run(`${language}-bad.jsonl`);
      assert.deepEqual([refused.code, refused.stdout], [1, '']);
      assert.match(refused.stderr, /^line 1: Invalid method/m);
    });
  }
});

describe('docs/tutorial.md', () => {
  it('shows what its commands write, with the example upstream in place of a model', async () => {
    const { results, left } = await runTutorial({
      baseURL: stack.baseURL,
      apiKey: 'key-b',
      upstream: stack.upstream.url,
      python: await pythonWithSdk(),
    });
    for (const { commands, output, missing } of results) assert.deepEqual(missing, [], `${commands}\nwrote:\n${output}`);
    assert.deepEqual([left, results.filter(({ output }) => /not found|No such file/.test(output))], [3, []]);
    assert.ok(results.length >= 8);
  });
});

describe('a model whose name is longer than Temporal takes', () => {
  const model = 'm'.repeat(3_000);
  const line = (customId: string, script?: string): string => {
    const request = JSON.parse(chatLine(customId, script));
    return JSON.stringify({ ...request, body: { ...request.body, model } });
  };

  it('makes a batch that completes, is found by the name that is shown, and has the whole one in its record', async () => {
    const batch = await ended(client, (await submit(client, line('one'))).id);
    assert.deepEqual([batch.status, batch.model], ['completed', model]);
    assert.equal((await resultLines(client, batch.output_file_id)).length, 1);
    const query = `BatchModel = '${model.slice(0, 255)}'`;
    const connection = await Connection.connect({ address: stack.temporal.address });
    try {
      const runs = new Client({ connection }).workflow;
      await until(async () => (await runs.count(query)).count === 1, { what: 'the batch to be found by its model' });
      assert.equal((await runs.getHandle(batch.id).describe()).status.name, 'COMPLETED');
    } finally {
      await connection.close();
    }
  });

  it('makes a batch that can be cancelled', async () => {
    const { id } = await submit(client, line('slow', 'delay=60000'));
    await until(async () => (await client.batches.retrieve(id)).status === 'in_progress', { what: 'the batch to be in progress' });
    await client.batches.cancel(id);
    assert.equal((await ended(client, id)).status, 'cancelled');
  });
});

describe('an input_file_id that is none', () => {
  const ids = ['../../x', '.', '/', 'a//b', 'a\0b', 'a\nb', 'x'.repeat(300), '\u00e9'.repeat(512), '\ud800'];
  for (const input_file_id of ids) {
    it(`fails the batch as not found: ${JSON.stringify(input_file_id.slice(0, 20))}`, async () => {
      const { id } = await client.batches.create({ input_file_id, endpoint: '/v1/chat/completions', completion_window: '24h' });
      const batch = await ended(client, id, 60);
      const [error, ...others] = batch.errors?.data ?? [];
      assert.deepEqual([batch.status, error?.code, error?.param, others], ['failed', 'invalid_request', 'file_id', []]);
      assert.equal(error?.message, `Cannot find file ${input_file_id}, or organization does not have access to it.`);
    });
  }
});

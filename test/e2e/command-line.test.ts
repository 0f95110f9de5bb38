import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { chatLine } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

const NIGHTSHIFT = fileURLToPath(new URL('../../bin/nightshift.mjs', import.meta.url));
let stack: Stack;
let folder: string;

before(async () => {
  [stack, folder] = await Promise.all([startStack(), mkdtemp(join(tmpdir(), 'nightshift-command-line-'))]);
});
after(async () => {
  await stack[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Runs a command as a user does, with the variables that the OpenAI SDKs read too. */
async function nightshift(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [NIGHTSHIFT, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], OPENAI_BASE_URL: stack.baseURL, OPENAI_API_KEY: 'key-a' },
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
    assert.match(submitted.stderr, /completed \[█+\] 100% {2}3 of 3 {2}1 failed[\s\S]*request bad: 400: /);
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

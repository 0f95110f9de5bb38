import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import { testEnvironment } from '../helpers/environment.ts';
import { freePort } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';

const BIN = fileURLToPath(new URL('../../bin/nightshift.mjs', import.meta.url));
let folder: string;
let env: Record<string, string>;
let ports: number[];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nightshift-local-'));
  ports = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  const [api = 0, temporal = 0, ui = 0, upstream = 0] = ports;
  env = {
    NIGHTSHIFT_API_PORT: String(api),
    NIGHTSHIFT_TEMPORAL_ADDRESS: `127.0.0.1:${temporal}`,
    NIGHTSHIFT_TEMPORAL_UI_PORT: String(ui),
    NIGHTSHIFT_EXAMPLE_UPSTREAM_PORT: String(upstream),
    NIGHTSHIFT_SHUTDOWN_GRACE_SECONDS: '5',
    NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '10',
  };
});
after(async () => await rm(folder, { recursive: true, force: true }));

/** `closed` is its end, when everything that it wrote has been read. */
function startLocal(
  args: string[],
  more: Record<string, string> = {},
): { child: ChildProcess; closed: Promise<unknown>; output: () => string } {
  const child = spawn(process.execPath, [BIN, 'local', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: testEnvironment({ ...env, ...more }),
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { child, closed: once(child, 'close'), output: () => output };
}

const accepts = async (port: number) =>
  await fetch(`http://127.0.0.1:${port}/`).then(
    () => true,
    (error: unknown) =>
      !(error instanceof Error && error.cause instanceof Error && 'code' in error.cause && error.cause.code === 'ECONNREFUSED'),
  );
const nobodyListens = async () => (await Promise.all(ports.map(accepts))).every((isOpen) => !isOpen);

async function isUp({ child, output }: ReturnType<typeof startLocal>): Promise<void> {
  await until(
    () => {
      if (child.exitCode !== null) throw new Error(output());
      return output().includes('Everything stays up');
    },
    { what: 'everything', seconds: 120 },
  );
}

describe('nightshift local', () => {
  it('runs the example batch, shows its results and leaves nothing running', { timeout: 300_000 }, async () => {
    const local = startLocal(['--example', '--exit']);
    await local.closed;
    assert.equal(local.child.exitCode, 0, local.output());
    assert.match(local.output(), /API +http:[\s\S]*Temporal UI +http:[\s\S]*Store +embedded, in \.nightshift.store/);
    assert.match(local.output(), /completed \[█+\] 100%/);
    const [path = ''] = /\S+_output\.jsonl/.exec(local.output()) ?? [];
    assert.ok((await readFile(path, 'utf8')).split('\n').length > 10);
    assert.ok(await nobodyListens());
  });

  it('goes on with a batch that it left in the middle, and ends each request once', { timeout: 480_000 }, async () => {
    const client = new OpenAI({ baseURL: `http://127.0.0.1:${ports[0]}/v1`, apiKey: 'any' });
    const first = startLocal([]);
    await isUp(first);
    const text = Array.from({ length: 120 }, (_, line) => `${chatLine(`line-${line}`, 'delay=1000')}\n`).join('');
    const { id } = await submit(client, text);
    await until(async () => ((await client.batches.retrieve(id)).request_counts?.completed ?? 0) > 0, { what: 'a first answer' });
    first.child.kill('SIGINT');
    await first.closed;
    assert.equal(first.child.exitCode, 0, first.output());
    assert.ok(await nobodyListens());

    const second = startLocal([]);
    await isUp(second);
    const batch = await ended(client, id);
    assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: 120, completed: 120, failed: 0 }]);
    const content = await (await client.files.content(batch.output_file_id ?? '')).text();
    const ids = content
      .trim()
      .split('\n')
      .map((line) => String(JSON.parse(line).custom_id));
    assert.equal(new Set(ids).size, 120);
    assert.equal(ids.length, 120);

    // A kill cannot be caught: what it started notices by itself, and ends one after the other, each with a grace of its own.
    second.child.kill('SIGKILL');
    await until(nobodyListens, { what: 'the end of all servers', seconds: 90 });
  });

  it('names every port that is taken, with its variable', async () => {
    const s3 = await freePort();
    const taken = [...ports, s3];
    const others = taken.map((port) => {
      const other = createServer((socket) => socket.on('error', () => undefined).end('HTTP/1.1 418 No\r\n\r\n'));
      return other.listen(port, '127.0.0.1');
    });
    await Promise.all(others.map(async (server) => await once(server, 'listening')));
    const local = startLocal(['--minio'], { NIGHTSHIFT_S3_ENDPOINT: `http://127.0.0.1:${s3}`, NIGHTSHIFT_DATA_DIR: 'other' });
    await local.closed;
    for (const server of others) server.close();
    assert.equal(local.child.exitCode, 1);
    for (const [index, name] of ['API_PORT', 'TEMPORAL_ADDRESS', 'TEMPORAL_UI_PORT', 'EXAMPLE_UPSTREAM_PORT', 'S3_ENDPOINT'].entries())
      assert.match(local.output(), new RegExp(`${taken[index]}.*NIGHTSHIFT_${name}`));
  });
});

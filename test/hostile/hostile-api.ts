import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { bareEnvironment } from '../helpers/environment.ts';
import { freePort, minioWithBucket } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const REPORT_MEMORY = new URL('report-memory.ts', import.meta.url).href;

/** The API as a process of its own on a real MinIO, without Temporal, which nothing here needs. */
export interface HostileApi extends AsyncDisposable {
  readonly origin: string;
  client(key?: string): OpenAI;
  /** Sends a request that HTTP clients agree to send, with the key of tenant-a. */
  fetch(path: string, init?: RequestInit): Promise<Answer>;
  /**
   * Sends exactly these bytes, or bytes as they come, which may depend on what was received, and reads what is answered until the other side
   * ends it or enough has come.
   */
  send(
    bytes: string | Sending | ((received: () => string) => Sending),
    options?: { enough?: RegExp; seconds?: number; encoding?: BufferEncoding },
  ): Promise<string>;
  /** Resident memory of the process, in bytes. */
  residentBytes(): Promise<number>;
  /** What the process keeps when all garbage is collected, in bytes: objects and buffers of the heap, and resident memory. */
  keptBytes(): Promise<Kept>;
  /** Fails if the process has ended. */
  assertAlive(): void;
  /** Fails if the process has ended, or has logged a fault of its own. */
  assertSound(): void;
}

/** Memory of a process without garbage, in bytes. */
export interface Kept {
  heap: number;
  resident: number;
}

/** Bytes as they come. */
type Sending = AsyncIterable<string>;

/** One answer, read to its end. */
export interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

/** Starts MinIO and the API; `env` adds variables. */
export async function startHostileApi(env: Record<string, string> = {}): Promise<HostileApi> {
  const [{ minio, bucket }, port] = await Promise.all([minioWithBucket(), freePort()]);
  const child: ChildProcess = spawn(process.execPath, ['--expose-gc', '--import', REPORT_MEMORY, MAIN, 'api'], {
    cwd: tmpdir(),
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: bareEnvironment({
      NIGHTSHIFT_API_PORT: String(port),
      NIGHTSHIFT_API_KEYS: 'key-a=tenant-a,key-b=tenant-b',
      NIGHTSHIFT_S3_ENDPOINT: minio.endpoint,
      NIGHTSHIFT_S3_BUCKET: bucket,
      NIGHTSHIFT_S3_ACCESS_KEY: minio.accessKey,
      NIGHTSHIFT_S3_SECRET_KEY: minio.secretKey,
      NIGHTSHIFT_TEMPORAL_ADDRESS: '127.0.0.1:1',
      NIGHTSHIFT_LOG_LEVEL: 'error',
      // A small heap, so that garbage not yet collected is not taken for memory that is kept.
      NODE_OPTIONS: '--max-old-space-size=64 --max-semi-space-size=4',
      ...env,
    }),
  });
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-20_000)));
  const origin = `http://127.0.0.1:${port}`;
  const isReady = async () =>
    await fetch(`${origin}/ready`).then(
      async (answer) => Object(await answer.json())['bucket'] === true,
      () => false,
    );
  await until(isReady, { what: `the API: ${log}`, seconds: 60 });

  return {
    origin,
    client: (key = 'key-a') => new OpenAI({ baseURL: `${origin}/v1`, apiKey: key, maxRetries: 0 }),
    async fetch(path, init = {}) {
      const answer = await fetch(origin + path, { ...init, headers: { authorization: 'Bearer key-a', ...Object(init.headers) } });
      return { status: answer.status, headers: answer.headers, text: await answer.text() };
    },
    async send(bytes, { enough = /(?!)/, seconds = 60, encoding = 'utf8' } = {}) {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      let text = '';
      // A peer that closes while we still send is no fault.
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      const isOver = () => socket.closed || socket.readableEnded || enough.test(text);
      const sending = (async () => {
        const all = typeof bytes === 'function' ? bytes(() => text) : typeof bytes === 'string' ? [bytes] : bytes;
        for await (const some of all) {
          // What has come meanwhile is read first: to write to who has closed would throw it away.
          await setImmediate();
          if (isOver() || socket.destroyed) return;
          socket.write(some, encoding);
        }
      })();
      try {
        await until(isOver, { what: `an answer, got ${JSON.stringify(text.slice(0, 200))}`, seconds, everyMs: 5 });
      } finally {
        socket.destroy();
        await sending;
      }
      return text;
    },
    async residentBytes() {
      const [, kib] = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${child.pid}/status`, 'utf8')) ?? [];
      assert.ok(kib !== undefined);
      return Number(kib) * 1024;
    },
    async keptBytes() {
      const answered = once(child, 'message', { signal: AbortSignal.timeout(60_000) });
      child.send('memory');
      const [usage] = await answered;
      const { heapUsed, external, rss }: NodeJS.MemoryUsage = usage;
      return { heap: heapUsed + external, resident: rss };
    },
    assertAlive() {
      assert.deepEqual([child.exitCode, child.signalCode], [null, null], log);
    },
    assertSound() {
      assert.deepEqual([child.exitCode, child.signalCode], [null, null], log);
      assert.equal(log, '');
    },
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit');
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await exited;
      }
      await minio[Symbol.asyncDispose]();
    },
  };
}

/** Holds a refusal to be the envelope with one of these statuses, a request id, and a message of bearable length; answers the message. */
export function assertRefused({ status, headers, text }: Answer, statuses: readonly number[]): string {
  assert.ok(statuses.includes(status), `${status}: ${text.slice(0, 500)}`);
  assert.match(headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/);
  assert.equal(headers.get('content-type'), 'application/json');
  const { error, ...rest } = JSON.parse(text);
  assert.deepEqual([Object.keys(error).sort(), Object.keys(rest)], [['code', 'message', 'param', 'type'], []]);
  assert.ok(text.length < 4000, text);
  return error.message;
}

/** The first answer among the bytes of a connection. */
export function firstAnswer(received: string): Answer {
  const [, head = '', rest = ''] = /^(.*?)\r\n\r\n(.*)$/s.exec(received) ?? [];
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = new Headers(lines.map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]);
  return { status, headers, text: rest.slice(0, Number(headers.get('content-length'))) };
}

const MIB = 1024 * 1024;

const VOLLEY = 300;

/**
 * Holds that requests leave nothing behind. Two volleys of the same size follow one that fills caches and pools, and the second may cost
 * no memory. Garbage is collected before each measurement.
 */
export async function assertNothingKept(api: HostileApi, volley: (count: number) => Promise<void>): Promise<void> {
  await volley(VOLLEY);
  const kept: Kept[] = [];
  for (let sent = 0; sent <= 2; sent += 1) {
    if (sent > 0) await volley(VOLLEY);
    kept.push(await api.keptBytes());
  }
  const growthMib = (of: (kept: Kept) => number) => kept.slice(1).map((now, index) => (of(now) - of(kept[index] ?? now)) / MIB);
  const [heap, resident] = [growthMib(({ heap }) => heap), growthMib(({ resident }) => resident)];
  const told = `after ${VOLLEY} requests each the heap grew by ${heap.join(' and ')} MiB, resident memory by ${resident.join(' and ')} MiB`;
  // 6 KiB for each request; the pages of the process come and go more coarsely.
  assert.ok((heap[1] ?? 0) < (VOLLEY * 6) / 1024, told);
  assert.ok((resident[1] ?? 0) < Math.max(0, resident[0] ?? 0) + 12, told);
}

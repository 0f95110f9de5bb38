/**
 * A large file to and from the bucket, through the API and with a bare `minio` client, in turns; medians, ratio and what
 * the API process cost. `npm run bench:transfer -- --megabytes 200 --rounds 15`.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { Client } from 'minio';
import { request } from 'undici';
import { startStack } from '../test/helpers/stack.ts';
import { inputLine, writeInput } from './run/input-file.ts';
import { describeMachine } from './run/machine.ts';
import { processCost } from './run/process-cost.ts';
import { uploadFile } from './run/upload-file.ts';
import { WIDE_LIMITS } from './run/wide-limits.ts';

const { values } = parseArgs({ options: { megabytes: { type: 'string', default: '200' }, rounds: { type: 'string', default: '15' } } });
const MEGABYTE = 1_000_000;
const BUCKET = 'nightshift';

await using stack = await startStack({
  env: { ...WIDE_LIMITS, NIGHTSHIFT_LOG_LEVEL: 'warn' },
});
const { hostname, port } = new URL(stack.minio.endpoint);
const minio = new Client({
  endPoint: hostname,
  port: Number(port),
  useSSL: false,
  accessKey: stack.minio.accessKey,
  secretKey: stack.minio.secretKey,
});

const directory = await mkdtemp(join(tmpdir(), 'nightshift-bench-'));
try {
  const path = join(directory, 'input.jsonl');
  const shape = { lines: 0, bytes: 400, longLineBytes: null };
  await writeInput(path, shape, 0, Math.ceil((Number(values.megabytes) * MEGABYTE) / (inputLine(shape, 100_000).length + 1)));
  const { size } = await stat(path);
  const idle = await processCost(stack.api.child.pid);

  const seconds = { bareUpload: none(), apiUpload: none(), bareDownload: none(), apiDownload: none() };
  for (let round = 0; round < Number(values.rounds); round++) {
    const key = `bench/${round}`;
    seconds.bareUpload.push(await timed(async () => void (await minio.putObject(BUCKET, key, createReadStream(path), size))));
    let fileId = '';
    seconds.apiUpload.push(await timed(async () => void (fileId = await uploadFile(stack.origin, path))));
    seconds.bareDownload.push(await timed(async () => await toNowhere(await minio.getObject(BUCKET, key), size)));
    seconds.apiDownload.push(await timed(async () => await toNowhere(await content(fileId), size)));
  }

  console.log(`\n${(size / MEGABYTE).toFixed(1)} MB, medians of ${values.rounds} rounds in turns; ${describeMachine()}\n`);
  const row = (list: readonly number[], bare: readonly number[]) => ({
    's, median': round(median(list)),
    'MB/s': Math.round(size / MEGABYTE / median(list)),
    'of the bare rate': round(median(bare) / median(list)),
    's, each round': list.map((value) => value.toFixed(2)).join(' '),
  });
  console.table({
    'upload, bare minio client': row(seconds.bareUpload, seconds.bareUpload),
    'upload through the API': row(seconds.apiUpload, seconds.bareUpload),
    'download, bare minio client': row(seconds.bareDownload, seconds.bareDownload),
    'download through the API': row(seconds.apiDownload, seconds.bareDownload),
  });
  const { peakRssMb, cpuSeconds } = await processCost(stack.api.child.pid);
  console.log(`API: peak RSS ${peakRssMb} MB (${idle.peakRssMb} before the first transfer), CPU ${round(cpuSeconds - idle.cpuSeconds)} s`);
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function content(fileId: string): Promise<Readable> {
  const answer = await request(`${stack.origin}/v1/files/${fileId}/content`, { headers: { authorization: 'Bearer key-a' } });
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} for the content`);
  return answer.body;
}

/** Reads a stream to its end and makes sure that it was whole. */
async function toNowhere(stream: Readable, size: number): Promise<void> {
  let bytes = 0;
  const nowhere = new Writable({
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      done();
    },
  });
  await pipeline(stream, nowhere);
  if (bytes !== size) throw new Error(`${bytes} bytes came instead of ${size}`);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const beginMs = performance.now();
  await work();
  return (performance.now() - beginMs) / 1000;
}

function none(): number[] {
  return [];
}

function median(list: readonly number[]): number {
  const sorted = list.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

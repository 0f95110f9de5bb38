import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import type { Stack } from '../helpers/stack.ts';
import { forgetPeak, peakBytes } from './memory.ts';

const MIB = 1024 * 1024;
/** What the API may take more for a download, however large: less than half of the smaller output of these tests. */
const MAX_GROWTH_BYTES = 60 * MIB;

/** A model that answers one MiB, in which no two places look alike, to the user `large`, and a word to all others. */
export async function startLargeUpstream(port: number): Promise<Server> {
  const answerOf = (content: string) =>
    JSON.stringify({ object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content } }] });
  const counted = Array.from({ length: MIB / 8 }, (_, index) => `${index}`.padStart(8)).join('');
  const [large, small] = [answerOf(counted), answerOf('Hello')];
  const server = createServer((incoming, outgoing) => {
    let body = '';
    incoming.on('data', (chunk: Buffer) => (body += chunk.toString()));
    incoming.on('end', () =>
      outgoing.writeHead(200, { 'content-type': 'application/json' }).end(body.includes('"user":"large"') ? large : small),
    );
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Runs a batch of so many large answers; answers its output file, which is larger by as many MiB and a little. */
export async function largeOutput(stack: Stack, answers: number, seconds: number): Promise<string> {
  const client = stack.client();
  const lines = Array.from({ length: answers }, (_, index) => `${chatLine(`large-${index}`, 'large')}\n`);
  const batch = await ended(client, (await submit(client, lines.join(''))).id, seconds);
  assert.deepEqual(batch.request_counts, { total: answers, completed: answers, failed: 0 });
  return String(batch.output_file_id);
}

/** Holds the file to come whole and in bounded memory to a client that takes the beginning and then nothing for a while. */
export async function assertSurvivesStall(stack: Stack, id: string, answers: number, stallMs: number): Promise<void> {
  const { bytes } = await stack.client().files.retrieve(id);
  assert.ok(bytes > answers * MIB);
  await forgetPeak(stack.api.child.pid);
  const before = await peakBytes(stack.api.child.pid);
  const stalled = await download(stack, id, stallMs);
  assert.deepEqual([stalled.contentLength, stalled.received, stalled.lineBreaks], [String(bytes), bytes, answers]);
  assert.equal(stalled.digest, (await download(stack, id, 0)).digest);
  const grown = (await peakBytes(stack.api.child.pid)) - before;
  assert.ok(grown < MAX_GROWTH_BYTES, `the API took ${grown} bytes more for downloads of ${bytes}`);
}

async function download(stack: Stack, id: string, stallMs: number) {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${stack.baseURL}/files/${id}/content`, { headers: { authorization: 'Bearer key-a' } }, resolve).on('error', reject);
  });
  const hash = createHash('sha256');
  let [received, lineBreaks] = [0, 0];
  for await (const chunk of answer) {
    // While nobody reads, the kernel's buffers fill and the API has to wait.
    if (received === 0) await delay(stallMs);
    received += chunk.length;
    hash.update(chunk);
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lineBreaks += 1;
  }
  return { contentLength: answer.headers['content-length'], received, lineBreaks, digest: hash.digest('hex') };
}

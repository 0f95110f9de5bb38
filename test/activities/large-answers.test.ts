import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ANSWERS = 64;
const ANSWER = Buffer.alloc(40_000_000, 'x');

/** Runs a script of this folder in a process of its own; answers the most memory that it had, in bytes. */
async function peakOf(script: string, ...args: string[]): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(new URL(script, import.meta.url)), ...args]);
  return Number(stdout);
}

describe('sixty-four answers of 40 MB at a time', () => {
  it('complete in less than 900 MB of memory, in chunks and in one piece', async () => {
    let count = 0;
    const server = createServer((request, response) => {
      request.resume();
      count += 1;
      response.writeHead(200, count % 2 === 0 ? {} : { 'content-length': ANSWER.length }).end(ANSWER);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const peak = await peakOf('large-answers.ts', `http://127.0.0.1:${address.port}`, String(ANSWERS));
    server.close();
    assert.equal(count, ANSWERS);
    assert.ok(peak < 900_000_000, `${peak / 1e6} MB`);
  });
});

describe('fifty closings of 24 MiB at a time', () => {
  it('complete in less than 800 MB of memory', async () => {
    const peak = await peakOf('check-closings.ts', '50', '24');
    assert.ok(peak < 800_000_000, `${peak / 1e6} MB`);
  });
});

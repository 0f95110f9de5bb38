import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ANSWERS = 64;
const ANSWER = Buffer.alloc(40_000_000, 'x');
const SCRIPT = fileURLToPath(new URL('large-answers.ts', import.meta.url));

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
    const child = await promisify(execFile)(process.execPath, [SCRIPT, `http://127.0.0.1:${address.port}`, String(ANSWERS)]);
    server.close();
    assert.equal(count, ANSWERS);
    assert.ok(Number(child.stdout) < 900_000_000, `${Number(child.stdout) / 1e6} MB`);
  });
});

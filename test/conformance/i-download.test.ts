import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Server } from 'node:http';
import { after, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLines, ended, submit } from '../helpers/lines.ts';
import { freePort } from '../helpers/servers.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { expireFile } from './bucket.ts';
import { assertSurvivesStall, largeOutput, startLargeUpstream } from './large-output.ts';
import { type PythonCases, runPythonCases } from './python-cases.ts';
import { REDUCED } from './reduced.ts';
import { assertEnvelope, send } from './wire.ts';

describe('I. Download', () => {
  let stack: Stack;
  let upstream: Server;
  let client: OpenAI;
  let python: PythonCases;
  let outputId: string;
  before(async () => {
    const port = await freePort();
    upstream = await startLargeUpstream(port);
    stack = await startStack({
      env: { NIGHTSHIFT_UPSTREAM_URL: `http://127.0.0.1:${port}/v1`, NIGHTSHIFT_UPLOAD_IDLE_TIMEOUT_SECONDS: '2' },
    });
    client = stack.client();
    outputId = await outputOf(chatLines(5));
    python = await runPythonCases('i_download.py', stack, outputId);
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    upstream.close();
    upstream.closeAllConnections();
  });

  /** Runs a batch of these lines to its end; answers its output file. */
  async function outputOf(lines: string): Promise<string> {
    const batch = await ended(client, (await submit(client, lines)).id, 180);
    assert.equal(batch.status, 'completed');
    return String(batch.output_file_id);
  }

  const bytesOf = async (id: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${stack.baseURL}/files/${id}/content`, { headers: { authorization: 'Bearer key-a', ...headers } });
    return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) };
  };

  it('case 103: content is answered whatever type is accepted', async () => {
    for (const accept of ['application/binary', 'application/json', '*/*', 'text/html']) {
      const { status, headers, body } = await bytesOf(outputId, { accept });
      assert.equal(status, 200);
      assert.match(String(headers.get('content-type')), /^application\/(octet-stream|jsonl; charset=utf-8)$/);
      assert.equal(headers.get('content-length'), String(body.length));
      assert.equal(body.toString().split('\n').length, 6);
    }
    python.assertHolds(103);
  });

  it('case 104: ranges are answered, and together they are the whole', async () => {
    const whole = (await bytesOf(outputId)).body;
    const ten = await bytesOf(outputId, { range: 'bytes=10-19' });
    assert.equal(ten.status, 206);
    assert.equal(ten.headers.get('content-length'), '10');
    assert.equal(ten.headers.get('content-range'), `bytes 10-19/${whole.length}`);
    assert.equal(ten.headers.get('accept-ranges'), 'bytes');
    assert.deepEqual(ten.body, whole.subarray(10, 20));

    const ranges: Buffer[] = [];
    for (let start = 0; start < whole.length; start += 777)
      ranges.push((await bytesOf(outputId, { range: `bytes=${start}-${start + 776}` })).body);
    assert.equal(sha256(Buffer.concat(ranges)), sha256(whole));
    assert.deepEqual((await bytesOf(outputId, { range: 'bytes=100-' })).body, whole.subarray(100));
    assert.deepEqual((await bytesOf(outputId, { range: 'bytes=-7' })).body, whole.subarray(-7));
    const beyond = await send(stack, `/v1/files/${outputId}/content`, { headers: { range: `bytes=${whole.length}-` } });
    assertEnvelope(beyond, 416);
    python.assertHolds(104);
  });

  it('case 105: a large output is streamed, also to a client that stalls', async () => {
    const { largeAnswers, stallSeconds } = REDUCED.download;
    const id = await largeOutput(stack, largeAnswers, 180);
    await assertSurvivesStall(stack, id, largeAnswers, stallSeconds * 1000);
  });

  it('case 106: an output file that is deleted or past its time is gone, and its batch goes on naming it', async () => {
    const remove = async (id: string) => void (await client.files.delete(id));
    const expire = async (id: string) => await expireFile(stack, 'tenant-a', id);
    for (const end of [remove, expire]) {
      const batch = await ended(client, (await submit(client, chatLines(1))).id);
      const id = String(batch.output_file_id);
      await end(id);
      assertEnvelope(await send(stack, `/v1/files/${id}/content`), 404, {
        type: 'invalid_request_error',
        message: `No such File object: ${id}`,
      });
      assert.deepEqual(await client.batches.retrieve(batch.id), batch);
    }
  });
});

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { request } from 'undici';

/** Uploads a file of purpose `batch` as plain multipart, streamed from disk (`fetch` would keep it in memory), and answers its id. */
export async function uploadFile(origin: string, path: string): Promise<string> {
  const boundary = 'nightshift-bench';
  const head =
    `--${boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n` +
    `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="input.jsonl"\r\ncontent-type: application/jsonl\r\n\r\n`;
  const tail = `\r\n--${boundary}--\r\n`;
  async function* parts() {
    yield Buffer.from(head);
    yield* createReadStream(path);
    yield Buffer.from(tail);
  }
  const answer = await request(`${origin}/v1/files`, {
    method: 'POST',
    headers: {
      authorization: 'Bearer key-a',
      'content-type': `multipart/form-data; boundary=${boundary}`,
      'content-length': String(head.length + (await stat(path)).size + tail.length),
    },
    body: Readable.from(parts()),
  });
  const file = Object(await answer.body.json());
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} for the upload: ${JSON.stringify(file)}`);
  return String(file.id);
}

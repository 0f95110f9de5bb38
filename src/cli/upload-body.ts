import { createReadStream } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { CommandError } from './command-error.ts';
import { fileReason } from './file-reason.ts';
import type { OpenInput } from './open-input.ts';

/** Hears how many bytes are on their way, of how many. */
export type OnBytes = (done: number, total: number) => void;

/** Sending stands still for this long: the connection is dead. */
const STALLED_MS = 120_000;
/** An API checks and stores the file before it answers. */
const ANSWER_MS = 300_000;

/** The form of `POST /v1/files` as a stream of known length. `signal` fires when the connection takes nothing more, or no answer comes. */
export function uploadBody(input: OpenInput, { purpose, onBytes = () => {} }: { purpose: string; onBytes?: OnBytes }) {
  const boundary = `nightshift-${randomBytes(16).toString('hex')}`;
  const head = Buffer.from(
    `--${boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\n${purpose}\r\n` +
      `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${escapeName(input.filename)}"\r\n` +
      'content-type: application/octet-stream\r\n\r\n',
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  const silence = new AbortController();
  const give = () => silence.abort(new DOMException('the upload stands still', 'TimeoutError'));

  async function* parts() {
    let timer = setTimeout(give, STALLED_MS).unref();
    const waitFor = (ms: number) => {
      clearTimeout(timer);
      timer = setTimeout(give, ms).unref();
    };
    let done = 0;
    yield head;
    // The length is promised in a header: what a growing file has beyond it is left out.
    const { start = 0 } = input;
    const end = start + Math.max(0, input.bytes - 1);
    const content = input.bytes === 0 ? Readable.from([]) : createReadStream(input.path, { start, end, highWaterMark: 256 * 1024 });
    try {
      for await (const chunk of content as AsyncIterable<Buffer>) {
        yield chunk;
        done += chunk.length;
        waitFor(STALLED_MS);
        onBytes(done, input.bytes);
      }
    } catch (error) {
      throw new CommandError(`${input.name} cannot be read: ${fileReason(error) ?? 'unknown reason'}.`, { cause: error });
    }
    if (done < input.bytes) throw new CommandError(`${input.name} became shorter while it was uploaded. Start again once it is complete.`);
    yield tail;
    waitFor(ANSWER_MS);
  }

  return {
    content: Readable.toWeb(Readable.from(parts())) as ReadableStream<Uint8Array>,
    headers: {
      'content-type': `multipart/form-data; boundary=${boundary}`,
      'content-length': String(head.length + input.bytes + tail.length),
    },
    signal: silence.signal,
  };
}

/** As browsers write file names into forms. */
function escapeName(name: string): string {
  return name.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

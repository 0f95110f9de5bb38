import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { Client } from 'minio';
import { Agent } from 'undici';
import { busyError, isBusy, withCode } from './minio-transport.ts';

/** An object, or a range of it, that begins to come. */
export interface ObjectAnswer {
  headers: IncomingHttpHeaders;
  body: Readable;
}

/**
 * Reads large objects. On undici, whose bodies are the bytes that the socket read: Node's client copies each chunk, and a
 * download of 200 MB then takes V8 through 400 MB of buffers (docs/decisions/013-where-the-time-goes.md).
 */
export interface ObjectReader {
  /** The answer 200 or 206; throws what the server says otherwise, with its S3 or system code as `code`. */
  read(key: string, headers: Readonly<Record<string, string>>): Promise<ObjectAnswer>;
  /** Ends all connections. */
  close(): void;
}

/** How long a signed address may be used. It is used at once; a server whose clock is wrong may think otherwise. */
const SIGNED_SECONDS = 900;

/** `silenceMs` is the longest wait for the next byte of a body; `answerMs`, from the call to the first byte of its answer. */
export function createObjectReader(given: { client: Client; bucket: string; silenceMs: number; answerMs: number }): ObjectReader {
  const { client, bucket, silenceMs, answerMs } = given;
  // Once connected, our own timer covers what is left: undici would begin to count anew, and it aborts nothing that still connects.
  const agent = new Agent({ connect: { timeout: answerMs }, headersTimeout: 0, bodyTimeout: silenceMs });

  return {
    async read(key, headers) {
      const { origin, pathname, search } = new URL(await client.presignedGetObject(bucket, key, SIGNED_SECONDS));
      const deadline = new AbortController();
      const timer = setTimeout(() => deadline.abort(withCode(`no sign of the server for ${answerMs} ms`, 'ETIMEDOUT')), answerMs);
      try {
        const answer = await agent.request({ origin, path: pathname + search, method: 'GET', headers, signal: deadline.signal });
        if (answer.statusCode === 200 || answer.statusCode === 206) return answer;
        throw toError(answer.statusCode, await answer.body.text());
      } finally {
        clearTimeout(timer);
      }
    },
    close: () => void agent.destroy(),
  };
}

function toError(status: number, said: string): Error {
  if (isBusy(status)) return busyError(status);
  const [, code = `status ${status}`] = /<Code>(.+?)<\/Code>/.exec(said) ?? [];
  const [, message = 'the server gave no reason'] = /<Message>(.+?)<\/Message>/.exec(said) ?? [];
  return withCode(message, code);
}

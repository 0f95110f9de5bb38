import assert from 'node:assert/strict';
import type { Stack } from '../helpers/stack.ts';

/** One answer as it came over the wire. */
export interface Reply {
  status: number;
  headers: Headers;
  text: string;
}

/** What an error says: the four keys of the envelope. */
export interface WireError {
  message: string;
  type: string;
  param: string | null;
  code: string | null;
}

export interface Sending {
  method?: string;
  /** Null sends no `Authorization`. */
  key?: string | null;
  headers?: Record<string, string>;
  /** An object is sent as JSON, text and bytes as they are. */
  body?: object | string | Buffer;
}

/** Sends one request, without an SDK; `path` begins with `/v1`. */
export async function send(
  stack: Pick<Stack, 'origin'>,
  path: string,
  { method = 'GET', key = 'key-a', headers = {}, body }: Sending = {},
): Promise<Reply> {
  const isJson = body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body);
  const answer = await fetch(stack.origin + path, {
    method,
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(isJson ? { 'content-type': 'application/json' } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : Buffer.isBuffer(body) ? new Uint8Array(body) : String(body) }),
  });
  // Not `text()`, which would hide a byte order mark.
  return { status: answer.status, headers: answer.headers, text: Buffer.from(await answer.arrayBuffer()).toString() };
}

/** The answer's JSON object. */
export function json(reply: Reply): Record<string, unknown> {
  assert.equal(reply.headers.get('content-type'), 'application/json');
  return Object(JSON.parse(reply.text));
}

/** Holds an answer to be the error envelope with this status, and every member of `expected`; answers the error. */
export function assertEnvelope(reply: Reply, status: number, expected: Partial<WireError> = {}): WireError {
  assert.equal(reply.status, status, reply.text);
  assert.equal(reply.headers.get('content-type'), 'application/json');
  assert.ok(reply.headers.get('x-request-id'), 'every answer has x-request-id');
  const { error }: { error: WireError } = JSON.parse(reply.text);
  assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type'], reply.text);
  assert.equal(typeof error.message, 'string');
  assert.equal(typeof error.type, 'string');
  assert.deepEqual({ ...error, ...expected }, error);
  return error;
}

/** A part of a form: its header lines as they are, and its bytes. */
export interface Part {
  disposition: string;
  content: string | Buffer;
}

const BOUNDARY = '0123456789abcdef0123456789abcdef';

/** A multipart body made by hand, so that every byte of it is ours. */
export function form(parts: readonly Part[]): { headers: Record<string, string>; body: Buffer } {
  const pieces = parts.flatMap(({ disposition, content }) => [
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n`),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ]);
  const body = Buffer.concat([...pieces, Buffer.from(`--${BOUNDARY}--\r\n`)]);
  return { headers: { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` }, body };
}

/** A form with the fields first and then, unless it is null, the file. */
export function fileForm(
  fields: Record<string, string>,
  file: string | Buffer | null,
  filename = 'input.jsonl',
): { headers: Record<string, string>; body: Buffer } {
  const parts = Object.entries(fields).map(([name, content]) => ({ disposition: `name="${name}"`, content }));
  return form(file === null ? parts : [...parts, { disposition: `name="file"; filename="${filename}"`, content: file }]);
}

/** Sends `POST /v1/files` with such a form. */
export async function upload(
  stack: Stack,
  fields: Record<string, string>,
  file: string | Buffer | null,
  filename?: string,
): Promise<Reply> {
  return await send(stack, '/v1/files', { method: 'POST', ...fileForm(fields, file, filename) });
}

import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';

/** The error object of an OpenAI-compatible server. */
export function failure(status: number, message: string, param: string | null = null): object {
  const type = status === 429 ? 'rate_limit_exceeded' : status >= 500 ? 'server_error' : 'invalid_request_error';
  return { error: { message, type, param, code: null } };
}

/** Ends an answer with these bytes. */
export function write(answer: ServerResponse, status: number, headers: OutgoingHttpHeaders, content: Buffer): void {
  if (status !== 204) headers['content-length'] = content.length;
  answer.writeHead(status, headers);
  answer.end(status === 204 ? undefined : content);
}

/** Ends an answer with this object. */
export function writeJson(answer: ServerResponse, status: number, content: object): void {
  write(answer, status, { 'content-type': 'application/json' }, Buffer.from(JSON.stringify(content)));
}

const TRICKLE_MS = 100;

/** One byte after the other, until the caller has had enough. */
export function trickle(answer: ServerResponse, headers: OutgoingHttpHeaders, content: Buffer): void {
  answer.writeHead(200, { ...headers, 'content-length': content.length });
  let at = 0;
  const timer = setInterval(() => {
    answer.write(content.subarray(at, at + 1));
    at += 1;
    if (at === content.length) answer.end();
  }, TRICKLE_MS);
  answer.once('close', () => clearInterval(timer));
}

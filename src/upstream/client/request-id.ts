import type { AnswerHeaders } from './http-exchange.ts';

/** Headers in which servers and gateways name a request, the best known first. */
const NAMES = [
  'x-request-id',
  'request-id',
  'apim-request-id',
  'x-ms-request-id',
  'x-amzn-requestid',
  'x-amz-request-id',
  'x-goog-request-id',
  'x-correlation-id',
  'x-trace-id',
  'cf-ray',
] as const;

/** The id that a server gave a request, cut at 256 characters; null when it gave none. */
export function requestIdOf(headers: AnswerHeaders): string | null {
  for (const name of NAMES) {
    const id = [headers[name]].flat()[0]?.trim();
    if (id !== undefined && id !== '') return id.slice(0, 256);
  }
  return null;
}

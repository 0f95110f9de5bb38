import { inspectAnswer } from '../domain/answer.ts';
import type { Attempt } from './client.ts';
import { decodeBody } from './decode-body.ts';
import type { Exchange } from './http-exchange.ts';
import { readRateBudgets } from './rate-headers.ts';
import { requestIdOf } from './request-id.ts';
import { retryAfterMs } from './retry-after.ts';

/** Statuses that mean "not now": nothing is wrong with the request. */
const REFUSALS: ReadonlySet<number> = new Set([429, 503, 529]);

/** Decides what an exchange means for its request (design, "The upstream"; Batch API reference, decisions 16 and 18). */
export async function readAttempt(
  exchange: Exchange,
  { nowMs, maxResponseBytes }: { nowMs: number; maxResponseBytes: number },
): Promise<Attempt> {
  switch (exchange.kind) {
    case 'aborted':
      return { kind: 'aborted' };
    case 'not_connected':
      return { kind: 'unavailable', message: exchange.message };
    case 'reset':
      return { kind: 'fault', code: 'connection_error', message: exchange.message, answer: null, ms: exchange.ms };
    case 'timeout':
      return { kind: 'fault', code: 'request_timeout', message: exchange.message, answer: null, ms: exchange.ms };
    case 'too_large':
    case 'malformed':
      return { kind: 'fault', code: 'invalid_response', message: exchange.message, answer: null, ms: exchange.ms };
    case 'answered':
      return await readAnswer(exchange, nowMs, maxResponseBytes);
  }
}

async function readAnswer(answered: Extract<Exchange, { kind: 'answered' }>, nowMs: number, maxResponseBytes: number): Promise<Attempt> {
  const { status, headers, ms } = answered;
  const invalid = (message: string): Attempt => ({ kind: 'fault', code: 'invalid_response', message, answer: null, ms });
  if (status >= 300 && status < 400) return invalid(`the upstream answered with a redirect (status ${status}), which is not followed`);

  const decoded = await decodeBody(answered.body, headers['content-encoding'], maxResponseBytes);
  if ('fault' in decoded) return invalid(`the answer of the upstream (status ${status}) ${decoded.fault}`);
  const { body } = decoded;
  const answer = { status, body, requestId: requestIdOf(headers) };

  const budgets = readRateBudgets(headers, nowMs);
  if (status < 300) {
    if (body.length === 0) return invalid(`the upstream answered with status ${status} and no body`);
    const { isObject, usage } = inspectAnswer(body);
    if (!isObject) return invalid(`the upstream answered with status ${status} and a body that is no JSON object`);
    return { kind: 'answer', ...answer, usage, budgets, ms };
  }
  if (REFUSALS.has(status)) return { kind: 'refusal', ...answer, retryAfterMs: retryAfterMs(headers, nowMs), budgets, ms };
  if (status === 408 || (status >= 500 && status < 600)) {
    return { kind: 'fault', code: 'server_error', message: `the upstream answered with status ${status}`, answer, ms };
  }
  return { kind: 'answer', ...answer, usage: null, budgets, ms };
}

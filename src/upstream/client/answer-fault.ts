import { errors } from 'undici';
import { codeOf, connectFault, isTlsCode } from './connect-fault.ts';
import type { Exchange } from './http-exchange.ts';

/** undici will not send such a request, and no repeat changes that: a header that is none, or one that is undici's own. */
export const MISUSE: ReadonlySet<string> = new Set(['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH']);

/** What was known when it failed. */
interface FailedExchange {
  /** The longest silence allowed. */
  seconds: number;
  ms: number;
  /** How much of the body had come; null while there was no answer. */
  answeredBytes: number | null;
}

/** What became of a request that was written to a connection and got no whole answer. */
export function answerFault(error: Error, { seconds, ms, answeredBytes }: FailedExchange): Exchange {
  const code = codeOf(error);
  const isAnswering = answeredBytes !== null;
  if (code === 'UND_ERR_HEADERS_TIMEOUT')
    return { kind: 'timeout', message: `the upstream did not begin to answer within ${seconds} s`, ms };
  if (code === 'UND_ERR_BODY_TIMEOUT')
    return { kind: 'timeout', message: `the upstream fell silent for ${seconds} s in the middle of its answer`, ms };
  // With TLS 1.3 a server refuses our certificate after the handshake, before it reads a request.
  if (!isAnswering && isTlsCode(code)) return { kind: 'not_connected', ...connectFault(error) };
  // In the middle of an answer the parser complains when it ends too early: that is a reset.
  if (!isAnswering) {
    const found = malformation(error, code);
    if (found !== null) return { kind: 'malformed', message: found, ms };
  }
  if (code === 'ETIMEDOUT') return { kind: 'reset', message: 'the connection to the upstream went dead (ETIMEDOUT)', ms };
  if (!isAnswering) return { kind: 'reset', message: 'the upstream closed the connection without an answer', ms };
  return {
    kind: 'reset',
    message: `the upstream closed the connection in the middle of its answer, after ${answeredBytes} bytes of its body`,
    ms,
  };
}

/** What is wrong with an answer that cannot be read; null when nothing is. */
function malformation(error: Error, code: string): string | null {
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return 'the headers of the answer are longer than 16 KiB';
  // undici says so of any answer with a Content-Length whose headers cannot be read to their end.
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' || /content-length|transfer-encoding/i.test(error.message))
    return 'the answer of the upstream is not valid HTTP: its Content-Length and Transfer-Encoding contradict each other, or one is there twice';
  if (!(error instanceof errors.HTTPParserError)) return null;
  // A TLS alert.
  if ('data' in error && String(error.data).startsWith('\u0015\u0003'))
    return 'the upstream speaks TLS on this port: use https:// in its base URL';
  return 'the answer of the upstream is not HTTP';
}

import type { Usage } from './batch.ts';

/** An HTTP answer as a whole. The body holds no configured credential any more. */
export interface HttpAnswer {
  status: number;
  body: Buffer;
  requestId: string | null;
}

/** Codes of error lines for requests without an HTTP answer that could be shown. */
export type FailureCode = 'request_timeout' | 'connection_error' | 'invalid_response' | 'server_error';

/**
 * What one try of a request ended in, by class. `message` says why in one sentence: the status and the server's own words, or our
 * words for what happened on the connection.
 */
export type Attempt =
  /** 2xx that says what was asked for. `usage` is null when the answer reports none. */
  | { kind: 'answered'; answer: HttpAnswer; usage: Usage | null }
  /** The server says that this request is wrong. A repeat changes nothing. */
  | { kind: 'rejected'; answer: HttpAnswer; message: string }
  /** 429, 503, 529, or a 2xx that carries such an error: the server does not want the request now. */
  | { kind: 'refused'; answer: HttpAnswer; retryAfterMs: number | null; message: string }
  /** Other 5xx, 408, 409, 424, 425, a timeout, a reset, an answer that cannot be used. `isCurable` is false where repeats hardly help. */
  | {
      kind: 'failed';
      code: FailureCode;
      answer: HttpAnswer | null;
      retryAfterMs: number | null;
      isCurable: boolean;
      /** True where what came shows that the server works, so that the failure can only be the request's. */
      isOwn?: boolean;
      message: string;
    }
  /** 401, 402, 403, 407, a used-up quota, a redirect, a 404 that is no error object: the server does not let us in. */
  | { kind: 'denied'; answer: HttpAnswer | null; retryAfterMs: number | null; message: string }
  /** No connection was made, so the request was never on the wire. */
  | { kind: 'away'; message: string }
  /** The caller's signal ended it. */
  | { kind: 'aborted' };

/** What is left of a budget that a server tells of, and the milliseconds until it is whole again. */
export interface RateBudget {
  remaining: number;
  resetMs: number;
}

/** The budgets that an answer tells of; null for what it leaves out. */
export interface RateBudgets {
  requests: RateBudget | null;
  tokens: RateBudget | null;
}

/** An attempt, the milliseconds from sending to the last byte (0 when nothing was sent), and the budgets that the answer told of. */
export interface Sent {
  attempt: Attempt;
  ms: number;
  budgets: RateBudgets | null;
}

/** What the attempts of a request ended in, to be written as its result line. */
export type Outcome =
  /** An HTTP answer. `isSuccess` decides between output and error file; an answer with status 200 may carry an error. */
  | { kind: 'answered'; isSuccess: boolean; answer: HttpAnswer; usage: Usage | null }
  | { kind: 'errored'; code: FailureCode | 'input_file_gone'; message: string };

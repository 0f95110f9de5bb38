/** Sends one request to an upstream. Never throws for what an upstream does: whatever happens is an `Attempt`. */
export interface UpstreamClient {
  send(request: UpstreamRequest, signal: AbortSignal): Promise<Attempt>;
  /** Ends open connections. */
  close(): Promise<void>;
}

export interface UpstreamRequest {
  /** The `/v1/...` path of the batch; what the base URL already holds of it is not repeated. */
  endpoint: string;
  /** Sent as it is: the exact bytes of the `body` member of the input line. */
  body: Buffer;
  /** The same for every attempt of a request. */
  idempotencyKey: string;
}

/** What one try of a request ended in (design: "Unavailability", "Refusals", "Faults"). Times are milliseconds. */
export type Attempt =
  /** An outcome: 2xx with a JSON object, or a status that no repeat can cure. `body` is the exact answer. */
  | { kind: 'answer'; status: number; body: Buffer; requestId: string | null; ms: number }
  /** 429, 503, 529: not now. */
  | { kind: 'refusal'; status: number; body: Buffer; requestId: string | null; retryAfterMs: number | null; ms: number }
  /** The request's own doing: other 5xx and 408 (with status and body), a timeout, a malformed answer, a reset. */
  | { kind: 'fault'; code: FaultCode; message: string; answer: { status: number; body: Buffer; requestId: string | null } | null; ms: number }
  /** Nobody there: name not found, connect refused or timed out. The request was never on the wire. */
  | { kind: 'unavailable'; message: string }
  /** The caller's signal ended it. */
  | { kind: 'aborted' };

/** Codes as they appear in error lines when there is no HTTP answer to show. */
export type FaultCode = 'request_timeout' | 'connection_error' | 'invalid_response' | 'server_error';

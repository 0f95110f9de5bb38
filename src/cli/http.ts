import { setTimeout as delay } from 'node:timers/promises';
import { ApiFault, describeRefusal, networkFault, notJson } from './api-fault.ts';
import { CommandError } from './command-error.ts';
import { duration } from './progress-line.ts';
import { retryAfterMs } from './retry-after.ts';
import { backoffMs } from '../domain/backoff.ts';

/** Where the API is and how to get in, as the settings say. */
export interface ApiAddress {
  /** With `/v1`, without a slash at the end. */
  baseUrl: string;
  /** Where the address was found, such as `NIGHTSHIFT_BASE_URL`. */
  baseUrlFrom: string;
  apiKey: string | null;
  /** Why a key that is set was not sent, and how to send one; for the message of a 401. */
  keyHint: string;
}

/** One call of the API. The path is below the base URL. */
export interface Call {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  headers?: Record<string, string>;
  /** Made anew for each try; `signal` ends a try whose body stalls. */
  body?: () => { content: string | ReadableStream<Uint8Array>; headers: Record<string, string>; signal?: AbortSignal };
  /** How often a call is repeated that may succeed later; by itself the client decides. */
  retries?: number;
  /** Silence after which a try is given up; 30 s by default. */
  timeoutMs?: number;
}

/** The one HTTP client of the command line: adds the key, repeats what may succeed later, and makes every failure an `ApiFault`. */
export interface Http {
  readonly address: ApiAddress;
  readonly signal: AbortSignal;
  /** The JSON of a successful answer. */
  json(call: Call): Promise<unknown>;
  /** A successful answer whose body has not been read. `accept` lists further statuses that are no failure. */
  open(call: Call, accept?: readonly number[]): Promise<Response>;
  /** Waits before try number `tries` (from 0) of something that failed; throws the fault when there is no sense in another try. */
  pause(fault: ApiFault, tries: number, retries?: number): Promise<void>;
}

export interface HttpOptions {
  address: ApiAddress;
  /** Ends everything. */
  signal: AbortSignal;
  /** Hears of waits that a user would notice. */
  onWait?: (sentence: string) => void;
  /** Replaced in tests. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  random?: () => number;
}

const TIMEOUT_MS = 30_000;
/** An API that has answered before is more likely to come back than an address where nothing ever answered. */
const RETRIES = { known: 5, unknown: 2 };
const LONGEST_BACKOFF_MS = 8_000;
/** A server that asks for more patience is given up: scripts can decide better whether to wait. */
const LONGEST_WAIT_MS = 120_000;
const NOTICEABLE_MS = 1_500;

export function createHttp(options: HttpOptions): Http {
  const { address, signal, onWait = () => {}, random = Math.random } = options;
  const sleep = options.sleep ?? (async (ms, aborted) => await delay(ms, undefined, { signal: aborted }));
  let hasAnswered = false;

  /** One try: `read` takes what is needed of the answer before the timeout ends. */
  async function once<T>(call: Call, accept: readonly number[], read: (answer: Response) => Promise<T>): Promise<T> {
    const { content, headers = {}, signal: stalled } = call.body?.() ?? {};
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(new DOMException('no answer', 'TimeoutError')), call.timeoutMs ?? TIMEOUT_MS);
    try {
      const answer = await fetch(address.baseUrl + call.path, {
        method: call.method,
        // A redirect could carry key and content to another host.
        redirect: 'manual',
        headers: { ...(address.apiKey === null ? {} : { authorization: `Bearer ${address.apiKey}` }), ...headers, ...call.headers },
        signal: AbortSignal.any([signal, silence.signal, ...(stalled === undefined ? [] : [stalled])]),
        ...(content === undefined ? {} : { body: content, duplex: 'half' }),
      });
      hasAnswered = true;
      if (answer.ok || accept.includes(answer.status)) return await read(answer);
      const text = await answer.text();
      throw describeRefusal({ address, call, answer, text, retryAfterMs: retryAfterMs(answer.headers, Date.now()) });
    } catch (error) {
      signal.throwIfAborted();
      // What a body of ours throws comes back as the cause.
      const own = [error, error instanceof Error ? error.cause : null].find((each) => each instanceof CommandError);
      throw own ?? networkFault(address, error);
    } finally {
      clearTimeout(timer);
    }
  }

  async function pause(fault: ApiFault, tries: number, retries?: number): Promise<void> {
    const most = retries ?? (hasAnswered ? RETRIES.known : RETRIES.unknown);
    const waitMs = fault.retryAfterMs ?? backoffMs(tries, 500, LONGEST_BACKOFF_MS) * (1 - random() / 4);
    if (!fault.isTransient || tries >= most) throw fault;
    if (waitMs > LONGEST_WAIT_MS) throw fault.withHint(`It asks to wait ${duration(waitMs / 1000)}: try again then.`);
    if (waitMs >= NOTICEABLE_MS) onWait(`${fault.message} Trying again in ${Math.ceil(waitMs / 1000)} s.`);
    await sleep(waitMs, signal);
  }

  async function repeated<T>(call: Call, attempt: () => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ApiFault)) throw error;
        await pause(error, tries, call.retries);
      }
    }
  }

  async function parse(answer: Response): Promise<unknown> {
    const text = await answer.text();
    try {
      return JSON.parse(text);
    } catch (error) {
      throw notJson(address, error);
    }
  }

  return {
    address,
    signal,
    pause,
    open: async (call, accept = []) =>
      await repeated(call, async () => await once(call, accept, async (answer) => await Promise.resolve(answer))),
    json: async (call) => await repeated(call, async () => await once(call, [], parse)),
  };
}

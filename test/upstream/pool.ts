import {
  createHttpPool,
  type Exchange,
  type HttpPool,
  type HttpPoolOptions,
  type HttpRequest,
} from '../../src/upstream/client/http-exchange.ts';

const never = new AbortController().signal;

/** A pool that is closed with its test. */
export interface TestPool extends AsyncDisposable {
  post(changes?: Partial<HttpRequest>, signal?: AbortSignal): Promise<Exchange>;
}

export function openPool(origin: string, changes: Partial<HttpPoolOptions> = {}): TestPool {
  const pool: HttpPool = createHttpPool({
    origin,
    connections: 8,
    requestTimeoutMs: 10_000,
    totalTimeoutMs: 20_000,
    maxResponseBytes: 1_000_000,
    ...changes,
  });
  return {
    post: async (request = {}, signal = never) =>
      await pool.exchange({ path: '/v1/chat/completions', headers: {}, body: Buffer.from('{}'), ...request }, signal),
    [Symbol.asyncDispose]: async () => await pool.close(),
  };
}

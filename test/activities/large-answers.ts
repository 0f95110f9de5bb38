import assert from 'node:assert/strict';
import { createMemoryBudget } from '../../activities/memory-budget.ts';
import { createHttpPool } from '../../src/upstream/client/http-exchange.ts';

// Asks the server at argv[2] for argv[3] answers at a time, and prints the most memory that this process had, in bytes.
const [origin = '', count = '0'] = process.argv.slice(2);
const never = new AbortController().signal;
const budget = createMemoryBudget(256 * 1024 * 1024);
const pool = createHttpPool({
  origin,
  connections: Number(count),
  requestTimeoutMs: 60_000,
  totalTimeoutMs: 120_000,
  maxResponseBytes: 67_108_864,
});

async function ask(): Promise<void> {
  const lease = await budget.reserve(2, never);
  const request = { path: '/', headers: {}, body: Buffer.from('{}'), onBytes: lease.grow };
  const exchange = await pool.exchange(request, never);
  assert.equal(exchange.kind, 'answered');
  lease.exchange(exchange.body.length);
  budget.release(exchange.body.length);
}

await Promise.all(Array.from({ length: Number(count) }, ask));
await pool.close();
process.stdout.write(String(process.resourceUsage().maxRSS * 1024));

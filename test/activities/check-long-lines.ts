/** `node check-long-lines.ts INPUTS BYTES` checks inputs of one long line at the same time, and prints the most memory that took, in bytes. */
import { hash } from 'node:crypto';
import { createInputChecker, readThroughChecker } from '../../src/domain/check-input.ts';
import { createControlMemory } from '../../activities/control-memory.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { createModelRoutes } from '../../src/domain/model-routes.ts';

const [inputs = 1, lineBytes = 0] = process.argv.slice(2).map(Number);
const CHUNK_BYTES = 64 * 1024;
const CHINESE = Buffer.from('夜班'.repeat(CHUNK_BYTES / 6));

/** A line whose characters take three bytes in the file and two in memory, but for its ASCII. */
async function* longLine(): AsyncGenerator<Buffer> {
  yield Buffer.from(
    '{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"',
  );
  for (let bytes = 0; bytes < lineBytes; bytes += 2 * CHUNK_BYTES) yield* [Buffer.from(CHINESE), Buffer.alloc(CHUNK_BYTES, 'x')];
  yield Buffer.from('"}]}}\n');
}

const memory = createControlMemory();
const { signal } = new AbortController();
const routes = createModelRoutes([{ name: 'main', models: null }]);
await Promise.all(
  Array.from({ length: inputs }, async () => {
    const checker = createInputChecker({
      endpoint: '/v1/chat/completions',
      limits: DEFAULT_LIMITS,
      routes,
      digest: (bytes) => hash('sha256', bytes, 'buffer'),
      modelLists: { of: async () => null },
    });
    await readThroughChecker({
      body: longLine(),
      maxLineBytes: 2 * lineBytes,
      checker,
      plan: () => true,
      from: { line: 1, offset: 0 },
      taken: () => null,
      step: async () => await new Promise((resolve) => setImmediate(resolve)),
      longLine: async () => await memory.longLine(lineBytes, signal),
    });
    const { verdict } = checker.verdict();
    if (verdict !== 'accepted') throw new Error(verdict);
  }),
);
process.stdout.write(String(process.resourceUsage().maxRSS * 1024));

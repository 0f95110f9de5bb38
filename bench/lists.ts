/**
 * Lists of a tenant with many files and batches: what one page, and the default list of 10,000 files, take when an API process
 * has just started (cold) and when it has seen the records (warm). `node bench/lists.ts --files 10000 --batches 5000`.
 */
import { cpus, loadavg, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { createMinioObjectStore } from '../src/storage/minio-object-store.ts';
import { oneByOne, seedBatches, seedFiles } from '../test/helpers/seed-records.ts';
import { startStack } from '../test/helpers/stack.ts';

const { values } = parseArgs({ options: { files: { type: 'string', default: '10000' }, batches: { type: 'string', default: '5000' } } });

await using stack = await startStack();
const { endpoint, accessKey, secretKey } = stack.minio;
const store = createMinioObjectStore({ endpoint, accessKey, secretKey, bucket: 'nightshift', region: 'us-east-1' });
const files = await seedFiles(oneByOne(store), 'tenant-a', Number(values.files));
const batches = await seedBatches(oneByOne(store), 'tenant-a', Number(values.batches));
store.close();

const [fileInside, batchInside] = [files[Math.floor(files.length / 2)] ?? '', batches[Math.floor(batches.length / 2)] ?? ''];
const LISTS: Record<string, string> = {
  'batches, page of 100': '/v1/batches?limit=100',
  'batches, page of 100 from the middle': `/v1/batches?limit=100&after=${batchInside}`,
  'files, page of 100': '/v1/files?limit=100',
  'files, page of 100 from the middle': `/v1/files?limit=100&after=${fileInside}`,
  'files, page of 100, oldest first': '/v1/files?limit=100&order=asc',
  'files, page of 100, oldest first from the middle': `/v1/files?limit=100&order=asc&after=${fileInside}`,
  'files.list() as it is: up to 10,000': '/v1/files',
  'the same, oldest first': '/v1/files?order=asc',
};

const table: Record<string, { rows: number; 'cold, s': number; 'warm, s': number }> = {};
for (const [name, path] of Object.entries(LISTS)) {
  // A process of its own for each, so that nothing is known yet.
  await using api = await stack.startAnotherApi();
  const cold = await timed(api.origin, path);
  const warm = await timed(api.origin, path);
  table[name] = { rows: cold.rows, 'cold, s': cold.seconds, 'warm, s': warm.seconds };
}
const load = loadavg().map((value) => value.toFixed(1));
console.log(
  `\n${files.length} files, ${batches.length} batches; ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, load ${load.join(' ')}\n`,
);
console.table(table);

async function timed(origin: string, path: string): Promise<{ rows: number; seconds: number }> {
  const started = performance.now();
  const answer = await fetch(origin + path, { headers: { authorization: 'Bearer key-a' } });
  const { data } = Object(await answer.json());
  if (!answer.ok || !Array.isArray(data)) throw new Error(`${answer.status} for ${path}`);
  return { rows: data.length, seconds: Math.round((performance.now() - started) / 10) / 100 };
}

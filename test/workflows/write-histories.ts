import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import packageJson from '../../package.json' with { type: 'json' };
import { serverBinary } from '../../src/processes/local/server-binaries.ts';
import { startEngine } from './engine.ts';
import { HISTORIES } from './histories.ts';
import { KINDS } from './kinds.ts';
import { until } from './model.ts';

/**
 * Runs one batch of every kind on the workflows as they are now, and writes their histories, of batch and shards, into a folder
 * named for this version: `npm run histories`. It replaces that folder until the version is tagged; after that the histories
 * stay as they are, because batches of that version may still run.
 */

const { stdout: tags } = await promisify(execFile)('git', ['tag', '--list', `v${packageJson.version}`]);
if (tags.trim() !== '')
  throw new Error(`v${packageJson.version} is tagged, so its histories stay; change the version in package.json first`);
const folder = join(HISTORIES, packageJson.version);
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
await using engine = await startEngine();
const temporal = await serverBinary('temporal');

/** As Temporal's own command writes it. */
async function historyOf(workflowId: string, runId: string): Promise<unknown> {
  const args = ['workflow', 'show', '-w', workflowId, '-r', runId, '--output', 'json', '--address', engine.server.address];
  const { stdout } = await promisify(execFile)(temporal, args, { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout);
}

/** Without the names of the machine, its files and its processes. */
function scrubbed(name: string, value: unknown): unknown {
  if (name === 'stackTrace') return '';
  return typeof value === 'string' ? value.replace(/\d+@.*/, 'worker').replaceAll(hostname(), 'host') : value;
}

for (const [name, kind] of Object.entries(KINDS)) {
  const { id } = await kind.play(engine);
  const runs: { workflowId: string; runId: string }[] = [];
  await until(`the ${kind.runs} runs of ${name} are listed`, async () => {
    runs.length = 0;
    let running = 0;
    for await (const { workflowId, runId, status } of engine.client.workflow.list()) {
      if (workflowId.split('/')[0] !== id) continue;
      if (status.name === 'RUNNING') running += 1;
      runs.push({ workflowId, runId });
    }
    return running === 0 && runs.length >= kind.runs;
  });
  const kept = runs.filter(({ workflowId }) => kind.keeps?.(Number(workflowId.split('/shard-')[1] ?? 0)) ?? true);
  const lines: string[] = [];
  for (const { workflowId, runId } of kept) {
    lines.push(JSON.stringify({ workflowId, history: await historyOf(workflowId, runId) }, scrubbed));
  }
  await writeFile(join(folder, `${name}.jsonl.gz`), gzipSync(`${lines.join('\n')}\n`, { level: 9 }));
  process.stdout.write(`${name}: ${lines.length} histories\n`);
}

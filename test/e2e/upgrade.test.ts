import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { chatLine, ended, resultLines, submit } from '../helpers/lines.ts';
import { startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const HISTORIES = join(ROOT, 'test/workflows/histories');
const run = promisify(execFile);
const git = async (...args: string[]): Promise<string> => (await run('git', ['-C', ROOT, ...args])).stdout.trim();

/** The last release, or before the first one the version that recorded the newest histories, in a folder of its own. */
interface Previous extends AsyncDisposable {
  main: string;
}

/** Throws where git, or the commit, is not there. */
async function previousVersion(): Promise<Previous> {
  const recorded = async () => await git('log', '-1', '--format=%H', '--', HISTORIES);
  const found = await git('describe', '--tags', '--abbrev=0').catch(recorded);
  assert.match(found, /./, 'this clone knows no release, and no commit that recorded histories');
  // Histories are recorded with a change of the sources; without a later change that version is this one.
  const isThisVersion = (await git('diff', '--name-only', found, 'HEAD', '--', 'src', 'workflows', 'activities')) === '';
  const previous = isThisVersion ? `${found}^` : found;
  const folder = await mkdtemp(join(tmpdir(), 'nightshift-previous-'));
  const [archive, code] = [join(folder, 'code.tar'), join(folder, 'code')];
  await git('archive', '--format=tar', '-o', archive, previous);
  await mkdir(code);
  await run('tar', ['-xf', archive, '-C', code]);
  await symlink(join(ROOT, 'node_modules'), join(code, 'node_modules'));
  return {
    main: join(code, 'src', 'main.ts'),
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true });
    },
  };
}

describe('an upgrade', () => {
  it('finishes under this version what a worker of the last release began', { timeout: 400_000 }, async (t) => {
    const isWhole = (await git('rev-parse', '--is-shallow-repository').catch(() => 'no repository')) === 'false';
    const needs = 'needs a clone with its history (git fetch --unshallow): there is no version before this one';
    // An archive may lack the history; a CI that does proves nothing.
    if (!isWhole) return process.env['CI'] === undefined ? t.skip(needs) : assert.fail(needs);
    await using previous = await previousVersion();
    await using stack = await startStack({
      env: { NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '16', NIGHTSHIFT_LINES_PER_ACTIVITY: '10' },
      upstream: ['--latency', '150'],
    });
    const client = stack.client();
    await stack.worker.stop('SIGKILL');
    const before = await stack.startWorker(previous.main);

    const ids = Array.from({ length: 1100 }, (_, index) => `up-${index + 1}`);
    const created = await submit(client, ids.map((id) => chatLine(id, `marker=${id}`)).join('\n'));
    const completed = async () => (await client.batches.retrieve(created.id)).request_counts?.completed ?? 0;
    await until(async () => (await completed()) >= 100, { what: '100 answers', seconds: 90 }).catch((error: unknown) => {
      throw new Error(`the version before does not work:\n${before.log()}`, { cause: error });
    });
    assert.equal(await before.stop('SIGTERM'), 0);
    const half = await completed();
    assert.ok(half < ids.length, 'it was stopped in the middle');
    await stack.startWorker();

    const batch = await ended(client, created.id);
    assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: 1100, completed: 1100, failed: 0 }]);
    const lines = await resultLines(client, batch.output_file_id);
    assert.deepEqual(
      lines.map((line) => line.custom_id),
      ids,
    );
    const calls = await stack.upstream.calls();
    assert.deepEqual(
      ids.filter((id) => calls[id] !== 1),
      [],
      'lines that were not sent exactly once',
    );
    assert.deepEqual(await brokenRuns(stack.temporal.address, created.id), []);
  });
});

/** The runs of batch and shards in which a version could not take up what another had begun. */
async function brokenRuns(address: string, batchId: string): Promise<string[]> {
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  const broken: string[] = [];
  let runs = 0;
  for await (const { workflowId, runId } of client.workflow.list()) {
    if (!workflowId.startsWith(batchId)) continue;
    runs += 1;
    const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    // By the member, because an event is what its attributes say.
    const causes = events?.flatMap((event) => event.workflowTaskFailedEventAttributes?.cause ?? []) ?? [];
    if (causes.length > 0) broken.push(workflowId);
  }
  await connection.close();
  assert.equal(runs, 3, 'the batch and its two shards ran once each');
  return broken;
}

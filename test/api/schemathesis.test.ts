import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { AppDeps } from '../../src/api/app.ts';
import { pythonWith } from '../helpers/python.ts';
import { describedAnswers } from './described-answers.ts';
import { startWholeTestApi } from './test-api.ts';

const REQUIREMENTS = fileURLToPath(new URL('python/schemathesis.txt', import.meta.url));
const EXAMPLES = 8;
const OPTIONS = [
  '--checks=all',
  // What a schema cannot say (a first line that is JSON, an `after` that was there once) may be refused.
  '--exclude-checks=positive_data_acceptance',
  `--max-examples=${EXAMPLES}`,
  '--seed=1',
  '--no-color',
  '--continue-on-failure',
];

describe('Schemathesis, against what GET /openapi.json promises', () => {
  async function run(t: TestContext, deps: Partial<AppDeps>, paths: readonly string[]): Promise<{ tested: number; generated: number }> {
    const directory = await mkdtemp(join(tmpdir(), 'nightshift-schemathesis-'));
    t.after(() => rm(directory, { recursive: true }));
    const python = await pythonWith(REQUIREMENTS);
    await using api = await startWholeTestApi(deps);
    const key = ['--header', 'Authorization: Bearer key-a'];
    const args = ['-m', 'schemathesis.cli', 'run', `${api.origin}/openapi.json`, ...key, ...OPTIONS, ...paths];
    const child = spawn(python, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'], timeout: 400_000 });
    let report = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (report += chunk.toString()));
    await once(child, 'close');
    assert.equal(child.exitCode, 0, report);
    assert.deepEqual(
      api.log.filter(({ level }) => level === 'error'),
      [],
    );
    return { tested: Number(/Tested: (\d+)/.exec(report)?.[1]), generated: Number(/(\d+) generated/.exec(report)?.[1]) };
  }

  it('finds no request that is answered otherwise', async (t) => {
    // A process that is about to end answers at once who waits for a batch to change, but it is not ready.
    const { tested, generated } = await run(t, { draining: AbortSignal.abort() }, ['--exclude-path', '/ready']);
    // Where the description itself stands is tested only if it is named.
    const named = ['/ready', '/openapi.json'].flatMap((path) => ['--include-path', path]);
    const { tested: testedNamed } = await run(t, {}, [...named, '--phases', 'coverage,fuzzing']);
    await using api = await startWholeTestApi();
    const { operations } = await describedAnswers(api);
    assert.deepEqual([tested, testedNamed], [operations.length - 2, 2]);
    assert.ok(generated > 15 * EXAMPLES, `${generated} requests`);
  });
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pythonWith } from '../helpers/python.ts';
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
  it('finds no request that is answered otherwise', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'nightshift-schemathesis-'));
    t.after(() => rm(directory, { recursive: true }));
    const python = await pythonWith(REQUIREMENTS);
    // A process that is about to end answers at once who waits for a batch to change.
    await using api = await startWholeTestApi({ draining: AbortSignal.abort() });
    const { paths } = Object(await (await fetch(`${api.origin}/openapi.json`)).json());
    const methods = Object.values<object>(paths).flatMap((path) => Object.keys(path).filter((name) => name !== 'parameters'));

    const args = ['-m', 'schemathesis.cli', 'run', `${api.origin}/openapi.json`, '--header', 'Authorization: Bearer key-a', ...OPTIONS];
    const child = spawn(python, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'], timeout: 400_000 });
    let report = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (report += chunk.toString()));
    await once(child, 'close');

    assert.equal(child.exitCode, 0, report);
    assert.match(report, new RegExp(`Tested: ${methods.length}\\b`));
    const generated = Number(/(\d+) generated/.exec(report)?.[1]);
    assert.ok(generated > 15 * EXAMPLES, report);
    assert.deepEqual(
      api.log.filter(({ level }) => level === 'error'),
      [],
    );
  });
});

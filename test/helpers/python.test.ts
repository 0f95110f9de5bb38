import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { pythonWith, pythonWithSdk } from './python.ts';

describe('pythonWithSdk', () => {
  it('answers an interpreter with the pinned SDK', async () => {
    const python = await pythonWithSdk();
    const { stdout } = await promisify(execFile)(python, ['-c', 'import openai; print(openai.__version__)']);
    const pinned = await readFile(new URL('../e2e/python/requirements.txt', import.meta.url), 'utf8');
    assert.ok(pinned.split('\n').includes(`openai==${stdout.trim()}`));
  });
});

describe('pythonWith', () => {
  it('makes one environment however many ask at the same time, and leaves nothing else behind', async (t) => {
    const cache = await mkdtemp(join(tmpdir(), 'nightshift-python-'));
    t.after(() => rm(cache, { recursive: true, force: true }));
    const requirements = join(cache, 'requirements.txt');
    await writeFile(requirements, '# nothing\n');

    const interpreters = await Promise.all([pythonWith(requirements, cache), pythonWith(requirements, cache)]);

    assert.equal(new Set(interpreters).size, 1);
    const { stdout } = await promisify(execFile)(interpreters[0] ?? '', ['-c', 'import pip, sys; print(sys.prefix)']);
    assert.equal(join(stdout.trim(), 'bin', 'python'), interpreters[0]);
    assert.equal((await readdir(cache)).filter((name) => name.startsWith('python-')).length, 1);
  });
});

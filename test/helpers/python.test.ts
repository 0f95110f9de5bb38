import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { pythonWith, pythonWithSdk } from './python.ts';
import { until } from './until.ts';

describe('pythonWithSdk', () => {
  it('returns an interpreter with the pinned SDK', async () => {
    const python = await pythonWithSdk();
    const { stdout } = await promisify(execFile)(python, ['-c', 'import openai, sys; print(openai.__version__, sys.prefix)']);
    const [version, prefix = ''] = stdout.trim().split(' ');
    const pinned = await readFile(new URL('../e2e/python/requirements.txt', import.meta.url), 'utf8');
    assert.ok(pinned.split('\n').includes(`openai==${version}`));
    assert.equal(python, join(prefix, 'bin', 'python'));
  });
});

describe('pythonWith', () => {
  it('keeps one environment when two are made at the same time, and leaves nothing else behind', async (t) => {
    const cache = await mkdtemp(join(tmpdir(), 'nightshift-python-'));
    t.after(() => rm(cache, { recursive: true, force: true }));
    const requirements = join(cache, 'requirements.txt');
    await writeFile(requirements, '# nothing\n');
    const making: string[] = [];
    const make = async (folder: string) => {
      making.push(folder);
      await until(() => making.length === 2, { what: 'both to be made', everyMs: 5 });
      await mkdir(join(folder, 'bin'));
      await writeFile(join(folder, 'bin', 'python'), folder);
    };

    const ask = async () => await pythonWith(requirements, { cache, make });
    const [first, second] = await Promise.all([ask(), ask()]);

    assert.equal(first, second);
    assert.ok(making.includes(await readFile(first, 'utf8')));
    assert.equal((await readdir(cache)).filter((name) => name.startsWith('python-')).length, 1);
    assert.equal(await ask(), first);
    assert.equal(making.length, 2, 'what is there is used');
  });
});

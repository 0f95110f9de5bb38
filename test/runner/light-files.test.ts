import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { groupLightFiles } from './light-files.ts';

describe('groupLightFiles', () => {
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), 'nightshift-light-'))));
  after(async () => await rm(folder, { recursive: true, force: true }));

  async function file(name: string, source = ''): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, source);
    return path;
  }

  it('puts light files together, and leaves alone what is heavy, unknown, or reaches other files', async () => {
    const light = { seconds: 0.3, cpuSeconds: 0.2 };
    const quiet = await Promise.all(['a', 'b'].map(async (name) => await file(name, "describe('x', () => {\n  before(() => {});\n});")));
    const loud = await Promise.all(
      ['before(() => {});', 'mock.timers.enable();', 'process.chdir(folder);', 'process.env.X = "1";'].map(
        async (source, index) => await file(`loud-${index}`, source),
      ),
    );
    const [heavy, unknown] = [await file('heavy'), await file('unknown')];
    const costs = Object.fromEntries([...quiet, ...loud].map((path) => [path, light]));
    const groups = groupLightFiles([heavy, ...quiet, unknown, ...loud], { ...costs, [heavy]: { seconds: 5, cpuSeconds: 4 } });
    assert.deepEqual(groups, [[heavy], [unknown], ...loud.map((path) => [path]), quiet]);
  });

  it('starts a process for each twenty files', async () => {
    const files = await Promise.all(Array.from({ length: 45 }, async (_, index) => await file(`many-${index}`)));
    const costs = Object.fromEntries(files.map((path) => [path, { seconds: 0.3, cpuSeconds: 0.2 }]));
    assert.deepEqual(
      groupLightFiles(files, costs).map(({ length }) => length),
      [20, 20, 5],
    );
  });
});

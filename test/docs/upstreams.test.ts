import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig } from '../../src/config/config.ts';
import { linksOf } from './links.ts';

const FOLDER = 'docs/upstreams';
const pages = (await readdir(FOLDER)).filter((name) => name.endsWith('.md') && name !== 'README.md');
const textOf = async (path: string) => await readFile(path, 'utf8');

/** Loads a file of upstreams as a worker does, with a key in each variable that it names; answers the names of its upstreams. */
async function load(upstreams: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'nightshift-upstreams-'));
  try {
    const file = join(folder, 'upstreams.yaml');
    await writeFile(file, upstreams);
    const keys = [...upstreams.matchAll(/api_key_env: (\w+)/g)].map(([, name = '']) => [name, 'a-key-of-sixteen-or-more'] as const);
    const s3 = { NIGHTSHIFT_S3_ACCESS_KEY: 'access', NIGHTSHIFT_S3_SECRET_KEY: 'secret-secret' };
    const config = loadConfig({ ...s3, ...Object.fromEntries(keys), NIGHTSHIFT_UPSTREAMS_FILE: file }, 'worker');
    return config.upstreams.map(({ name }) => name);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('docs/upstreams', () => {
  it('has pages', () => assert.ok(pages.length >= 6, pages.join()));

  for (const page of pages) {
    it(`${page} has upstreams files that a worker loads`, async () => {
      const blocks = [...(await textOf(join(FOLDER, page))).matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, body = '']) => body);
      assert.ok(blocks.length > 0);
      for (const block of blocks) assert.ok((await load(block)).length > 0);
    });
  }

  for (const index of ['README.md', `${FOLDER}/README.md`]) {
    it(`is linked page by page from ${index}`, async () => {
      const links = linksOf(index, await textOf(index));
      assert.deepEqual(
        pages.filter((page) => !links.includes(`${FOLDER}/${page}`)),
        [],
      );
    });
  }

  it('shows files that a misspelt setting would make unusable', async () => {
    const [, block = ''] = /^```yaml\n([\s\S]*?)^```$/m.exec(await textOf(join(FOLDER, 'vllm.md'))) ?? [];
    await assert.rejects(load(block.replace('api_key_env', 'api_key_envv')), /api_key_envv/);
  });
});

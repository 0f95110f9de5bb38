import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, it } from 'node:test';
import { anchorsOf, linksOf } from './links.ts';

const inDocs = (await readdir('docs', { recursive: true })).map((name) => `docs/${name}`);
const inRoot = await readdir('.');
const pages = [...inRoot, ...inDocs, 'bench/README.md'].filter((path) => path.endsWith('.md'));

async function faultOf(link: string): Promise<string | null> {
  const [path = '', anchor] = link.split('#');
  const found = await stat(path).catch(() => null);
  if (found === null) return `${link}: no such file`;
  if (anchor === undefined || !path.endsWith('.md')) return null;
  return anchorsOf(await readFile(path, 'utf8')).includes(anchor) ? null : `${link}: no such heading`;
}

describe('the pages of the documentation', () => {
  for (const page of pages) {
    it(`${page} links to files and headings that exist`, async () => {
      const links = linksOf(page, await readFile(page, 'utf8'));
      const faults = await Promise.all(links.map(faultOf));
      assert.deepEqual(
        faults.filter((fault) => fault !== null),
        [],
      );
    });
  }

  it('docs/README.md lists every page beside it', async () => {
    const index = 'docs/README.md';
    const links = new Set(linksOf(index, await readFile(index, 'utf8')));
    const beside = inDocs.filter((path) => path.endsWith('.md') && dirname(path) === 'docs' && path !== index);
    assert.ok(beside.length > 5);
    assert.deepEqual(
      beside.filter((path) => !links.has(path)),
      [],
    );
  });
});

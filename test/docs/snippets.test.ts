import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';

const LANGUAGES = ['python', 'js', 'ts'];
const names = (await readdir('docs', { recursive: true })).filter((name) => name.endsWith('.md'));
const pages = ['README.md', ...names.map((name) => `docs/${name}`)];
const examples = await Promise.all(
  ['python/run_batch.py', 'python/webhooks.py', 'node/run-batch.mjs'].map(async (name) => await readFile(`examples/${name}`, 'utf8')),
);

describe('code in the docs', () => {
  for (const page of pages) {
    it(`${page} shows only code of examples, which the tests run`, async () => {
      const text = await readFile(page, 'utf8');
      for (const [, language = '', code = ''] of text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)) {
        if (!LANGUAGES.includes(language)) continue;
        assert.ok(
          examples.some((example) => example.includes(code)),
          `this is in no file of examples:\n${code}`,
        );
      }
    });
  }

  it('is in README.md', async () => assert.match(await readFile('README.md', 'utf8'), /^```python\n/m));
});

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { pythonWith } from '../helpers/python.ts';
import { startStack } from '../helpers/stack.ts';

const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));

// Not part of `npm test`: its packages take 340 MB and minutes to install. `npm run matrix` runs it.
describe('LiteLLM', () => {
  it('creates, follows, cancels and lists batches with calls of its own', async () => {
    const python = await pythonWith(pathOf('requirements-litellm.txt'));
    await using stack = await startStack();
    const { stdout } = await promisify(execFile)(python, [pathOf('litellm_client.py'), stack.baseURL, 'key-a'], { timeout: 240_000 });
    assert.match(stdout, /^ok litellm/m);
  });
});

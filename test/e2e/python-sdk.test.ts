import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { pythonWithSdk } from '../helpers/python.ts';
import { startStack } from '../helpers/stack.ts';

const SCRIPT = fileURLToPath(new URL('python/typical_user.py', import.meta.url));
const FIRST_BATCH = fileURLToPath(new URL('../../examples/first-batch.jsonl', import.meta.url));

describe('the official Python SDK, unmodified', () => {
  it('runs what a user writes', async () => {
    const [python, stack] = await Promise.all([pythonWithSdk(), startStack()]);
    await using _stack = stack;
    const { stdout } = await promisify(execFile)(python, [SCRIPT, stack.baseURL, 'key-a', FIRST_BATCH], { timeout: 400_000 });
    assert.match(stdout, /^ok \d/);
  });
});

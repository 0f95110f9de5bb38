import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { checkedCommits, faultOf } from './subjects.ts';

describe('faultOf', () => {
  const good = [
    'api: add a limit on open batches',
    "intake: keep a slice's reservation until it starts",
    'storage, upstream: name the units of sizes',
    'test/e2e: seed the clock',
    `docs: ${'x'.repeat(66)}`,
  ];
  for (const subject of good) it(`accepts: ${subject}`, () => assert.equal(faultOf(subject), null));

  const bad: [subject: string, fault: RegExp][] = [
    ['A slice that has come keeps its room until it begins', /area/],
    ['Api: add a limit', /area/],
    ['api add a limit', /area/],
    [`docs: ${'x'.repeat(67)}`, /73 characters, but 72/],
    ['api: add a limit.', /full stop/],
    ['api: added a limit', /imperative/],
    ['api: adding a limit', /imperative/],
    ['api: the limit holds', /imperative/],
  ];
  for (const [subject, fault] of bad) it(`refuses: ${subject}`, () => assert.match(faultOf(subject) ?? '', fault));
});

describe('checkedCommits', () => {
  let folder: string;
  const git = async (repository: string, ...args: string[]) => {
    const author = ['-c', 'user.name=A', '-c', 'user.email=a@example.com', '-c', 'commit.gpgsign=false', '-c', 'tag.gpgsign=false'];
    return (await promisify(execFile)('git', ['-C', repository, ...author, ...args])).stdout.trim();
  };
  const subjects = async (repository: string, first: string) =>
    (await checkedCommits(repository, first))?.map(({ subject }) => subject) ?? null;
  let first: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nightshift-commits-'));
    await git(folder, 'init', '--quiet', '--initial-branch', 'main');
    for (const subject of ['Old ways', 'The last of them']) await git(folder, 'commit', '--quiet', '--allow-empty', '-m', subject);
    first = await git(folder, 'rev-parse', 'HEAD');
    for (const subject of ['api: one', 'api: two']) await git(folder, 'commit', '--quiet', '--allow-empty', '-m', subject);
  });
  after(async () => await rm(folder, { recursive: true }));

  it('answers the commits after the first one that counts', async () => {
    assert.deepEqual(await subjects(folder, first), ['api: two', 'api: one']);
  });

  it('answers what is there when a shallow clone does not reach that commit', async () => {
    const clone = join(folder, 'clone');
    await git(folder, 'clone', '--quiet', '--depth', '1', `file://${folder}`, clone);
    assert.deepEqual(await subjects(clone, first), ['api: two']);
  });

  it('answers the commits after the last tag', async () => {
    const clone = join(folder, 'tagged');
    await git(folder, 'clone', '--quiet', `file://${folder}`, clone);
    await git(clone, 'tag', 'v0.1.0', 'HEAD~1');
    assert.deepEqual(await subjects(clone, first), ['api: two']);
  });

  it('answers null outside of a repository', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'nightshift-no-repository-'));
    try {
      assert.equal(await checkedCommits(empty, first), null);
    } finally {
      await rm(empty, { recursive: true });
    }
  });
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it, mock } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createEmbeddedObjectStore, databasePath } from '../../src/storage/embedded/embedded-object-store.ts';
import { openDatabase } from '../../src/storage/embedded/sqlite.ts';
import { createWrites } from '../../src/storage/embedded/writes.ts';
import { ObjectStoreError, type ObjectStore } from '../../src/storage/object-store.ts';
import { until } from '../helpers/until.ts';
import { hashOf, isWhole, SELF_CHECKED } from './self-checked.ts';
import { collect } from './test-bucket.ts';

const WRITER = fileURLToPath(new URL('./write-until-killed.ts', import.meta.url));
const MINUTE_MS = 60_000;
const LARGE = Buffer.alloc(100_000, 'l');

let folder: string;
let store: ObjectStore;
const filesLeft = async () => (await readdir(join(folder, 'content'))).length;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nightshift-embedded-'));
  store = createEmbeddedObjectStore({ folder });
  await store.ensureBucket();
});
afterEach(() => mock.restoreAll());
after(async () => {
  store.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

describe('an embedded store whose processes are killed', () => {
  it('has every confirmed write, whole, and nothing by halves', { timeout: 120_000 }, async () => {
    const [confirmed, counted] = [new Map<string, string>(), [] as number[]];
    for (const round of [1, 2, 3]) {
      const lines = await writeUntilKilled(round);
      assert.ok(lines.length > 20, lines.join('\n'));
      for (const line of lines) {
        const [key = '', value = ''] = line.split(' ');
        if (key === 'counter') counted.push(Number(value));
        else confirmed.set(key, value);
      }
    }
    for (const [key, hash] of confirmed) assert.equal(hashOf((await store.get(key))?.body ?? Buffer.alloc(0)), hash, key);
    for await (const { key, size } of store.list('')) {
      const body = (await store.get(key))?.body ?? Buffer.alloc(0);
      assert.equal(body.length, size, key);
      if (key.startsWith(SELF_CHECKED)) assert.ok(isWhole(body), key);
    }
    // One that was killed may have counted without saying so.
    assert.equal(new Set(counted).size, counted.length);
    assert.ok(Number((await store.get('counter'))?.body.toString()) >= Math.max(...counted));
  });
});

/** Runs three writers for a while and kills them all. Answers what the store confirmed to them. */
async function writeUntilKilled(round: number): Promise<string[]> {
  const children = ['a', 'b', 'c'].map((name) =>
    spawn(process.execPath, [WRITER, folder, `${name}${round}`], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  const outputs = children.map(async (child) => Buffer.concat(await collect<Buffer>(child.stdout)).toString());
  await Promise.all(children.map(async (child) => await once(child.stdout, 'readable')));
  await delay(400 + 300 * Math.random());
  for (const child of children) child.kill('SIGKILL');
  return (await Promise.all(outputs)).flatMap((output) => output.split('\n').slice(0, -1));
}

describe('an embedded store and the disk', () => {
  it('confirms and shows a large object only when its file and the folder of that are on the disk', async () => {
    const syncs = await holdSyncs();
    const putting = store.put('held', LARGE);
    for (const nth of [1, 2]) {
      await until(() => syncs.length === nth, { what: `sync ${nth}` });
      assert.equal(await store.get('held'), null);
      syncs[nth - 1]?.();
    }
    await putting;
    assert.equal(syncs.length, 2);
    assert.ok((await store.get('held'))?.body.equals(LARGE));
  });

  it('syncs each commit of the database', () => {
    const database = openDatabase(databasePath(folder));
    const read = (name: string) => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
    assert.deepEqual([read('synchronous'), read('journal_mode')], [2, 'wal']);
    database.close();
  });

  it('says that it is full when the disk is, and leaves no file of the try', async () => {
    const prototype = await handlePrototype();
    const left = await filesLeft();
    mock.method(prototype, 'writeFile', async () => await Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' })));
    await assert.rejects(store.put('full', LARGE), (error) => error instanceof ObjectStoreError && error.isFull);
    assert.equal(await filesLeft(), left);
    assert.equal(await store.get('full'), null);
  });

  it('removes the files of objects that were replaced or removed, and of writes that were refused', async () => {
    const left = await filesLeft();
    await store.put('gone', LARGE);
    await store.put('gone', LARGE);
    assert.equal(await store.create('gone', LARGE), 'exists');
    assert.equal(await store.replace('gone', LARGE, 'other'), 'changed');
    await assert.rejects(store.uploadPart('gone', 'no-such-upload', 1, LARGE), ObjectStoreError);
    const upload = await store.startMultipart('gone');
    await store.uploadPart('gone', upload, 1, LARGE);
    await store.uploadPart('gone', upload, 1, LARGE);
    await store.copyPart('gone', upload, 2, 'gone');
    await store.abortMultipart('gone', upload);
    assert.ok((await store.get('gone'))?.body.equals(LARGE));
    await store.remove(['gone']);
    await until(async () => (await filesLeft()) === left, { what: 'the files to go' });
  });

  it('sweeps files that no object names when it starts, but none that may be on its way', async () => {
    await store.put('named', LARGE);
    for (const file of await readdir(join(folder, 'content'))) await age(file);
    for (const file of ['orphan', 'young']) await writeFile(join(folder, 'content', file), 'x');
    await age('orphan');
    const another = createEmbeddedObjectStore({ folder });
    await another.ensureBucket();
    const names = async () => await readdir(join(folder, 'content'));
    await until(async () => !(await names()).includes('orphan'), { what: 'the orphan to go' });
    another.close();
    assert.ok((await names()).includes('young'));
    assert.ok((await store.get('named'))?.body.equals(LARGE));
  });

  it('sweeps on past a file that another process has removed meanwhile', async () => {
    const content = join(folder, 'content');
    await writeFile(join(content, 'late-orphan'), 'x');
    const database = openDatabase(databasePath(folder));
    try {
      createWrites(database, content).apply({ op: 'removeOrphans', files: ['removed-by-another', 'late-orphan'] });
    } finally {
      database.close();
    }
    assert.ok(!(await readdir(content)).includes('late-orphan'));
  });

  it('stays closed when a call that had begun goes on', async () => {
    const other = createEmbeddedObjectStore({ folder });
    await other.put('before', Buffer.from('x'));
    await other.ping();
    other.close();
    await assert.rejects(other.get('before'), /the store is closed/);
    await assert.rejects(other.put('after', Buffer.from('x')), /the store is closed/);
  });

  it('writes a content again whose file was swept before its object named it', async () => {
    const syncs = await holdSyncs();
    const putting = store.put('late', LARGE);
    await until(() => syncs.length === 1, { what: 'a file' });
    mock.restoreAll();
    for (const file of await readdir(join(folder, 'content'))) await rm(join(folder, 'content', file));
    syncs[0]?.();
    await putting;
    assert.ok((await store.get('late'))?.body.equals(LARGE));
  });

  it('ends a stream with an error whose object is removed before its next file was opened', async () => {
    const key = 'two-files';
    const upload = await store.startMultipart(key);
    const bodies = [Buffer.alloc(5 * 1024 * 1024, 'a'), LARGE];
    const etags = await Promise.all(bodies.map(async (body, index) => await store.uploadPart(key, upload, index + 1, body)));
    await store.completeMultipart(
      key,
      upload,
      etags.map((etag, index) => ({ part: index + 1, etag })),
    );
    const found = await store.open(key);
    assert.ok(found);
    const left = await filesLeft();
    await store.remove([key]);
    await until(async () => (await filesLeft()) === left - 2, { what: 'the files to go' });
    await assert.rejects(collect(found.body), ObjectStoreError);
  });
});

async function age(file: string): Promise<void> {
  const past = new Date(Date.now() - 2 * MINUTE_MS);
  await utimes(join(folder, 'content', file), past, past);
}

/** Where the methods of all file handles are. */
async function handlePrototype(): Promise<{ sync: () => Promise<void>; writeFile: () => Promise<void> }> {
  await using handle = await open(databasePath(folder), 'r');
  return Object.getPrototypeOf(handle);
}

/** Lets no file or folder reach the disk until the function that its sync adds to this list is called. */
async function holdSyncs(): Promise<(() => void)[]> {
  const waiting: (() => void)[] = [];
  mock.method(await handlePrototype(), 'sync', async () => await new Promise<void>((resolve) => waiting.push(resolve)));
  return waiting;
}

describe('an embedded store whose lock another process keeps', () => {
  it('fails writes after a time, reads meanwhile, and writes again once the lock is free', async () => {
    const hurried = createEmbeddedObjectStore({ folder, lockMs: 200 });
    await hurried.put('locked', Buffer.from('before'));
    const other = openDatabase(databasePath(folder));
    other.exec('BEGIN IMMEDIATE');
    const startedMs = performance.now();
    const writing = hurried.put('locked', Buffer.from('after'));
    assert.equal((await hurried.get('locked'))?.body.toString(), 'before');
    await assert.rejects(writing, (error) => error instanceof ObjectStoreError && /locked/.test(error.message));
    assert.ok(performance.now() - startedMs >= 200);
    const patient = store.put('locked', Buffer.from('patient'));
    await delay(50);
    other.exec('ROLLBACK');
    await patient;
    await hurried.put('locked', Buffer.from('after'));
    assert.equal((await store.get('locked'))?.body.toString(), 'after');
    for (const each of [other, hurried]) each.close();
  });
});

describe('an embedded store and the event loop', () => {
  it('lets timers run during a loop of reads', async () => {
    await store.put('small', Buffer.from('1'));
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    const startedMs = performance.now();
    while (performance.now() - startedMs < 200) await store.get('small');
    clearInterval(timer);
    assert.ok(ticks > 10, `${ticks}`);
  });
});

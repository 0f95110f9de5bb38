/**
 * Writes to an embedded store until it is killed: `write-until-killed.ts FOLDER NAME`. Each line of its output is a write that the
 * store has confirmed: a key and the MD5 of its bytes, or `counter` and the number that this process made of it.
 */
import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { createEmbeddedObjectStore } from '../../src/storage/embedded/embedded-object-store.ts';
import { hashOf, SELF_CHECKED, selfChecked } from './self-checked.ts';

const [folder = '', name = ''] = process.argv.slice(2);
const store = createEmbeddedObjectStore({ folder });
await store.ensureBucket();

async function putMany(kind: string, bytes: number): Promise<void> {
  for (let n = 0; ; n += 1) {
    const key = `${kind}/${name}-${n}`;
    const body = selfChecked(bytes);
    await store.put(key, body);
    confirm(key, body);
  }
}

/** Joins a copy and a sent part, and replaces the result again and again. */
async function joinMany(): Promise<void> {
  const [head, tail] = [randomBytes(5 * 1024 * 1024), randomBytes(1000)];
  await store.put(`source/${name}`, head);
  for (let n = 0; ; n += 1) {
    const key = `joined/${name}-${n % 3}`;
    const id = await store.startMultipart(key);
    const parts = [await store.copyPart(key, id, 1, `source/${name}`), await store.uploadPart(key, id, 2, tail)];
    await store.completeMultipart(
      key,
      id,
      parts.map((etag, index) => ({ part: index + 1, etag })),
    );
    confirm(key, Buffer.concat([head, tail]));
  }
}

async function count(): Promise<void> {
  for (;;) {
    const found = await store.get('counter');
    if (found === null) {
      await store.create('counter', Buffer.from('0'));
      continue;
    }
    const next = Number(found.body.toString()) + 1;
    if ((await store.replace('counter', Buffer.from(String(next)), found.etag)) === 'replaced') writeSync(1, `counter ${next}\n`);
  }
}

function confirm(key: string, body: Buffer): void {
  writeSync(1, `${key} ${hashOf(body)}\n`);
}

await Promise.all([putMany(`${SELF_CHECKED}/small`, 300), putMany(`${SELF_CHECKED}/large`, 150_000), joinMany(), count()]);

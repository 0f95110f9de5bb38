import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { createEmbeddedObjectStore } from '../../src/storage/embedded/embedded-object-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { withKeyPrefix } from '../../src/storage/prefixed-object-store.ts';
import { contract } from './object-store-contract.ts';

let folder: string;
const opened: ObjectStore[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nightshift-embedded-'));
  await connect().ensureBucket();
});
after(async () => {
  for (const store of opened) store.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

describe('an embedded ObjectStore', () => contract(connect));
describe('an embedded ObjectStore with a key prefix', () => contract((other) => withKeyPrefix(connect(other), 'shared/nightshift/')));

function connect(name = 'first'): ObjectStore {
  const store = createEmbeddedObjectStore({ folder: join(folder, name) });
  opened.push(store);
  return store;
}

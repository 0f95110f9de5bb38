import { after, before, describe } from 'node:test';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { withKeyPrefix } from '../../src/storage/prefixed-object-store.ts';
import { contract } from './object-store-contract.ts';
import { startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;

before(async () => (bucket = await startTestBucket()));
after(() => bucket[Symbol.asyncDispose]());

describe('an ObjectStore on MinIO', () => contract(connect));
describe('an ObjectStore on MinIO with a key prefix', () => contract((other) => withKeyPrefix(connect(other), 'shared/nightshift/')));

function connect(other?: string): ObjectStore {
  return bucket.connect(other === undefined ? {} : { bucket: other });
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testEnvironment } from './environment.ts';

describe('testEnvironment', () => {
  it('leaves out what the shell of a developer sets, and keeps paths of servers', (t) => {
    const set = {
      NIGHTSHIFT_LOG_LEVEL: 'trace',
      OPENAI_BASE_URL: 'http://elsewhere',
      NIGHTSHIFT_MINIO_BIN: '/minio',
      NO_PROXY: 'elsewhere',
    };
    const before = process.env;
    t.after(() => void (process.env = before));
    process.env = { ...before, ...set };
    const { NIGHTSHIFT_LOG_LEVEL, OPENAI_BASE_URL, NIGHTSHIFT_MINIO_BIN, NO_PROXY } = testEnvironment({ NIGHTSHIFT_LOG_LEVEL: 'info' });
    assert.deepEqual([NIGHTSHIFT_LOG_LEVEL, OPENAI_BASE_URL, NIGHTSHIFT_MINIO_BIN], ['info', undefined, '/minio']);
    assert.equal(NO_PROXY, '127.0.0.1,localhost');
  });
});

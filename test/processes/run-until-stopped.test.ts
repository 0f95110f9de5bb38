import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runUntilStopped } from '../../src/processes/run-until-stopped.ts';

/** Runs a worker that ends so, and answers what was failed of it. */
async function failuresOf(state: 'STOPPED' | 'FAILED', error: Error | null): Promise<unknown[]> {
  const failures: unknown[] = [];
  const worker = { run: async () => (error === null ? undefined : await Promise.reject(error)), getState: () => state };
  await runUntilStopped(worker, { shutdown: { fail: (failure) => void failures.push(failure) }, logger: { info: () => undefined } });
  return failures;
}

describe('runUntilStopped', () => {
  const inUse = new Error('Worker still in use: Expected 1 reference, but got 2');

  it('takes a worker that has stopped for one that has, although a thread of the core still holds it', async () => {
    assert.deepEqual(await failuresOf('STOPPED', null), []);
    assert.deepEqual(await failuresOf('STOPPED', inUse), []);
  });

  it('fails the process with a worker that failed', async () => {
    assert.deepEqual(await failuresOf('FAILED', inUse), [inUse]);
  });
});

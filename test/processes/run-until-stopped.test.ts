import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runUntilStopped } from '../../src/processes/run-until-stopped.ts';

/** Runs a worker that ends so; answers what failed the process, and what was logged as a warning. */
async function endOf(state: 'STOPPED' | 'FAILED', error: Error | null, { isDraining = false } = {}) {
  const failures: unknown[] = [];
  const warnings: unknown[] = [];
  const worker = { run: async () => (error === null ? undefined : await Promise.reject(error)), getState: () => state };
  const draining = isDraining ? AbortSignal.abort() : new AbortController().signal;
  await runUntilStopped(worker, {
    shutdown: { draining, fail: (failure) => void failures.push(failure) },
    logger: { info: () => undefined, warn: ({ err }: { err: unknown }) => void warnings.push(err) },
  });
  return { failures, warnings };
}

describe('runUntilStopped', () => {
  const inUse = new Error('Worker still in use: Expected 1 reference, but got 2');
  const notDisposed = new Error('Workflow execution context should have been disposed first');

  it('takes a worker that has stopped for one that has, although a thread of the core still holds it', async () => {
    assert.deepEqual(await endOf('STOPPED', null), { failures: [], warnings: [] });
    assert.deepEqual(await endOf('STOPPED', inUse), { failures: [], warnings: [] });
  });

  it('fails the process with a worker that failed', async () => {
    for (const error of [inUse, notDisposed]) assert.deepEqual(await endOf('FAILED', error), { failures: [error], warnings: [] });
  });

  it('warns of a worker that failed after the process was asked to stop', async () => {
    for (const error of [inUse, notDisposed])
      assert.deepEqual(await endOf('FAILED', error, { isDraining: true }), { failures: [], warnings: [error] });
  });
});

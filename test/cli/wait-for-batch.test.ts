import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ApiClient } from '../../src/cli/api-client.ts';
import { waitForBatch } from '../../src/cli/wait-for-batch.ts';
import type { Batch } from '../../src/domain/batch.ts';
import { aBatch } from './fake-api.ts';

/** An API that answers these in turn. */
function apiOf(batches: Batch[]): ApiClient {
  const unused = () => Promise.reject(new Error('not asked for'));
  return {
    getBatch: async () => batches.shift() ?? (await unused()),
    uploadFile: unused,
    createBatch: unused,
    listBatches: unused,
    cancelBatch: unused,
    downloadFile: unused,
  };
}

describe('waitForBatch on a terminal', () => {
  it('rewrites one line, never wider than the terminal, and ends it', async () => {
    const written: string[] = [];
    const screen = { isTTY: true, columns: 40, write: (text: string | Uint8Array) => written.push(String(text)) > 0 };
    const batches = [aBatch(), aBatch({ status: 'completed', request_counts: { total: 4, completed: 4, failed: 0 } })];
    const ended = await waitForBatch(apiOf(batches), 'batch_1', screen, new AbortController().signal);
    assert.equal(ended.status, 'completed');
    const [first = '', last = '', end] = written;
    assert.match(first, /^\r\x1b\[Kin_progress \[█{6}░{18}\] /);
    assert.match(last, /^\r\x1b\[Kcompleted \[█{24}\] /);
    assert.deepEqual([first.length, last.length, end, written.length], [4 + 39, 4 + 39, '\n', 3]);
  });

  it('ends the line when it is interrupted', async () => {
    const written: string[] = [];
    const screen = { isTTY: true, columns: 80, write: (text: string | Uint8Array) => written.push(String(text)) > 0 };
    const interrupt = new AbortController();
    const waiting = waitForBatch(apiOf([aBatch(), aBatch()]), 'batch_1', screen, interrupt.signal);
    setImmediate(() => interrupt.abort());
    await assert.rejects(waiting, { name: 'AbortError' });
    assert.equal(written.at(-1), '\n');
  });
});

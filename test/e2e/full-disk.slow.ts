import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { ended, resultLines, submit } from '../helpers/lines.ts';
import { startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const run = promisify(execFile);
const LINES = 300;
/** A megabyte is answered. */
const line = (customId: string) =>
  JSON.stringify({
    custom_id: customId,
    method: 'POST',
    url: '/v1/embeddings',
    body: { model: 'example-model', input: Array.from({ length: 22 }, () => 'a'), dimensions: 4096, user: `marker=${customId}` },
  });

/** A file system of so many MB over a folder. It goes at once, even from under a process that uses it. */
async function mountSmall(directory: string, megabytes: number): Promise<AsyncDisposable & { grow(megabytes: number): Promise<void> }> {
  await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory]);
  return {
    grow: async (to) => void (await run('mount', ['-o', `remount,size=${to}m`, directory])),
    [Symbol.asyncDispose]: async () => void (await run('umount', ['-l', directory])),
  };
}

// Beside `full.test.ts`, where a proxy says what MinIO says: mounting a small file system takes root, which `npm test` does not ask for.
describe('a disk that is full', () => {
  const skip = process.getuid?.() === 0 ? false : 'takes root';
  it('is waited for by a batch, and told to who uploads, until there is room', { skip, timeout: 600_000 }, async (t) => {
    await using stack = await startStack({
      ownMinio: true,
      env: { NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '8' },
      upstream: ['--latency', '20'],
    });
    const { minio } = stack;
    await Promise.all([stack.api.stop(), stack.worker.stop()]);
    const exited = once(minio.process, 'exit');
    minio.process.kill();
    await exited;
    await using disk = await mountSmall(minio.directory, 200);
    await minio.startAgain();
    await stack.startApi();
    await stack.startWorker();

    const client = stack.client();
    const ids = Array.from({ length: LINES }, (_, index) => `line-${index + 1}`);
    const { id } = await submit(client, ids.map(line).join('\n'), { endpoint: '/v1/embeddings' });
    const refused = await until(
      async () => {
        const form = new FormData();
        form.set('purpose', 'user_data');
        form.set('file', new Blob([Buffer.alloc(9 * 1024 * 1024, 'x')]), 'a.txt');
        const answer = await fetch(`${stack.baseURL}/files`, { method: 'POST', body: form, headers: { authorization: 'Bearer key-a' } });
        const { error } = Object(await answer.json());
        return answer.ok ? null : { status: answer.status, code: error.code };
      },
      { what: 'the disk to be full', seconds: 120, everyMs: 500 },
    );
    assert.deepEqual(refused, { status: 503, code: 'storage_full' });
    const sent = async () => Object.values(await stack.upstream.calls()).reduce((sum, times) => sum + times, 0);
    let before = -1;
    const isResting = async () => {
      const now = await sent();
      const rests = now === before;
      before = now;
      return rests;
    };
    await until(isResting, { what: 'nothing to be sent any more', seconds: 120, everyMs: 5_000 });
    assert.ok(before < LINES, `${before} lines were sent`);
    assert.equal((await client.batches.retrieve(id)).status, 'in_progress');
    t.diagnostic(`${before} of ${LINES} lines were sent when it rested`);

    await disk.grow(2_000);
    const batch = await ended(client, id, 240);
    assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: LINES, completed: LINES, failed: 0 }]);
    assert.deepEqual(
      (await resultLines(client, batch.output_file_id)).map((row) => row.custom_id),
      ids,
    );
    assert.deepEqual(new Set(Object.values(await stack.upstream.calls())), new Set([1]));
  });
});

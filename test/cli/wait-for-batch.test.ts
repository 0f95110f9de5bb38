import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiFault } from '../../src/cli/api-fault.ts';
import { waitForBatch } from '../../src/cli/wait-for-batch.ts';
import { waitForGroup } from '../../src/cli/wait-for-group.ts';
import type { Batch } from '../../src/domain/batch.ts';
import { aBatch } from './fake-api.ts';

const DONE = aBatch({ status: 'completed', request_counts: { total: 4, completed: 4, failed: 0 } });

/** An API that answers these in turn. */
function apiOf(answers: (Batch | Error)[]) {
  return {
    async getBatch(): Promise<Batch> {
      const next = answers.shift() ?? new Error('asked too often');
      return next instanceof Error ? await Promise.reject(next) : next;
    },
  };
}

function terminal(columns: number) {
  const written: string[] = [];
  return { written, isTTY: true, columns, write: (text: string | Uint8Array) => written.push(String(text)) > 0 };
}

/** Waits for the answers without any delay; returns the waits in milliseconds. */
async function waitsFor(answers: (Batch | Error)[]): Promise<number[]> {
  const waits: number[] = [];
  const sleep = async (ms: number) => await Promise.resolve(void waits.push(Math.round(ms)));
  await waitForBatch(apiOf(answers), 'batch_1', { screen: null, signal: new AbortController().signal, sleep });
  return waits;
}

describe('waitForBatch', () => {
  it('rewrites one line, never wider than the terminal, and ends it', async () => {
    const screen = terminal(40);
    const sleep = async () => await Promise.resolve();
    const ended = await waitForBatch(apiOf([aBatch(), DONE]), 'batch_1', { screen, signal: new AbortController().signal, sleep });
    assert.equal(ended.status, 'completed');
    const [first = '', last = '', end] = screen.written;
    assert.equal(first, '\r\x1b[Kin_progress [███░░░░░░░░░] 25%  1 of 4');
    // A rate, which comes first when the machine is quick, leaves no width for the bar.
    assert.match(last, /^\r\x1b\[Kcompleted (\[█+\] )?100% {2}4 of 4/);
    assert.deepEqual([end, screen.written.length], ['\n', 3]);
    assert.ok(first.length <= 4 + 39 && last.length <= 4 + 39);
  });

  it('ends the line when it is interrupted', async () => {
    const screen = terminal(80);
    const interrupt = new AbortController();
    const waiting = waitForBatch(apiOf([aBatch(), aBatch()]), 'batch_1', { screen, signal: interrupt.signal });
    setImmediate(() => interrupt.abort());
    await assert.rejects(waiting, { name: 'AbortError' });
    assert.equal(screen.written.at(-1), '\n');
  });

  it('polls less and less often, at most every five seconds, and more often after a change', async () => {
    const waits = await waitsFor([...Array.from({ length: 20 }, () => aBatch()), aBatch({ status: 'finalizing' }), DONE]);
    assert.deepEqual(waits.slice(0, 3), [500, 650, 845]);
    assert.deepEqual(waits.slice(18), [5000, 5000, 500]);
  });

  it('leaves the pace to an API that answers at the next change', async () => {
    const [asked, waits]: [number[], number[]] = [[], []];
    const client = {
      async getBatch(_: string, { waitSeconds = 0 } = {}): Promise<Batch> {
        asked.push(waitSeconds);
        if (waitSeconds > 0) await delay(1_000);
        return asked.length === 4 ? DONE : aBatch();
      },
    };
    const sleep = async (ms: number) => await Promise.resolve(void waits.push(ms));
    await waitForBatch(client, 'batch_1', { screen: null, signal: new AbortController().signal, sleep });
    assert.deepEqual(
      [asked, waits],
      [
        [0, 10, 10, 10],
        [500, 500, 500],
      ],
    );
  });

  it('waits out a 429 at any poll for as long as the API asks, also the first', async () => {
    const busy = new ApiFault('slow down', { status: 429, isTransient: true, retryAfterMs: 42_000 });
    assert.deepEqual(await waitsFor([busy, aBatch(), busy, DONE]), [42_000, 500, 42_000]);
  });

  it('waits through an outage, and gives up on an answer that no repeat changes', async () => {
    const away = new ApiFault('away', { isTransient: true });
    assert.deepEqual(await waitsFor([...Array.from({ length: 7 }, () => away), DONE]), [500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    await assert.rejects(waitsFor([aBatch(), new ApiFault('wrong key', { status: 401, isTransient: false })]), /wrong key/);
  });
});

describe('waitForGroup', () => {
  it('names a batch that failed, also if the API goes away in the same round', async () => {
    const batches = Array.from({ length: 9 }, (_, at) => aBatch({ id: `batch_${at}` }));
    const [asked, notes]: [string[], string[]] = [[], []];
    const client = {
      async getBatch(id: string): Promise<Batch> {
        asked.push(id);
        if (id === 'batch_8' && asked.length <= 9) return await Promise.reject(new ApiFault('away', { isTransient: true }));
        return id === 'batch_0' ? { ...DONE, id, status: 'failed' } : { ...DONE, id };
      },
    };
    const group = { id: 'group_a', parts: [{ part: 1, requests: 36, batches }] };
    const output = { screen: null, note: (text: string) => void notes.push(text) };
    const ended = await waitForGroup(client, group, { output, signal: new AbortController().signal, sleep: async () => {} });
    assert.deepEqual([asked.length, ended.parts[0]?.batches.length], [10, 9]);
    assert.deepEqual(notes, ['\nbatch_0 is failed. Why: nightshift status batch_0']);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createStoredCounter } from '../../activities/run-requests/stored-counter.ts';

function counterWith({ isContested = false, answers = [] }: { isContested?: boolean; answers?: boolean[] }) {
  const counted: [line: number, outcome: string][] = [];
  let confirmations = 0;
  const counter = createStoredCounter({
    counted: { add: (line, outcome) => void counted.push([line, outcome]), ended: () => undefined },
    isContested,
    customIdOf: (line) => `line-${line}`,
    confirm: async () => answers[confirmations++] ?? true,
  });
  return { counter, counted, confirmations: () => confirmations };
}

describe('createStoredCounter', () => {
  it('counts answers at once, and failures after one confirmation for many', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { counter, counted, confirmations } = counterWith({});
    counter.stored(1, 'completed');
    for (const line of [2, 3, 4]) counter.stored(line, 'failed');
    assert.deepEqual(counted, [[1, 'completed']]);
    t.mock.timers.tick(1_000);
    await new Promise(setImmediate);
    assert.deepEqual(counted.slice(1), [
      [2, 'failed'],
      [3, 'failed'],
      [4, 'failed'],
    ]);
    await counter.settle();
    assert.equal(confirmations(), 1);
  });

  it('asks nothing where nothing failed, and confirms at the end what failed just before', async () => {
    const { counter, counted, confirmations } = counterWith({});
    counter.stored(1, 'completed');
    await counter.settle();
    assert.equal(confirmations(), 0);
    counter.stored(2, 'failed');
    await counter.settle();
    assert.deepEqual(
      [confirmations(), counted],
      [
        1,
        [
          [1, 'completed'],
          [2, 'failed'],
        ],
      ],
    );
  });

  it('counts no failure of an attempt that another has taken over from, and asks again after a silence', async () => {
    const silent = counterWith({ answers: [false, true] });
    silent.counter.stored(1, 'failed');
    await silent.counter.settle();
    assert.deepEqual(silent.counted, []);
    silent.counter.stored(2, 'failed');
    await silent.counter.settle();
    assert.deepEqual(silent.counted, [
      [1, 'failed'],
      [2, 'failed'],
    ]);
  });

  it('leaves failures to the closing of the shard where another attempt may still answer the line', async () => {
    const { counter, counted, confirmations } = counterWith({ isContested: true });
    counter.stored(1, 'failed');
    counter.stored(2, 'completed');
    await counter.settle();
    assert.deepEqual([counted, confirmations()], [[[2, 'completed']], 0]);
  });
});

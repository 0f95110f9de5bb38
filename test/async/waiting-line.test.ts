import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createWaitingLine } from '../../src/async/waiting-line.ts';

describe('the waiting line', () => {
  const never = new AbortController().signal;

  it('lets callers in by the order in which they came, as far as there is enough', async () => {
    const line = createWaitingLine();
    const came: string[] = [];
    let free = 2;
    const enter = async (name: string, amount: number, signal = never) => {
      await line.enter(signal, () => {
        if (amount > free) return null;
        free -= amount;
        return name;
      });
      came.push(name);
    };
    await enter('first', 2);
    const others = [enter('large', 3), enter('small', 1)];
    free = 2;
    line.admit();
    await Promise.resolve();
    assert.deepEqual([came, line.length], [['first'], 2], 'a small one does not overtake');
    free = 4;
    line.admit();
    await Promise.all(others);
    assert.deepEqual([came, line.length, free], [['first', 'large', 'small'], 0, 0]);
  });

  it('lets in those behind a caller that gives up', async () => {
    const line = createWaitingLine();
    const leaving = new AbortController();
    let free = 0;
    const take = (amount: number) => () => (amount > free ? null : (free -= amount));
    const large = line.enter(leaving.signal, take(2));
    const small = line.enter(never, take(1));
    free = 1;
    leaving.abort(new Error('enough'));
    await assert.rejects(large, /enough/);
    assert.equal(await small, 0);
    await assert.rejects(line.enter(leaving.signal, take(0)), /enough/);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createTurns } from '../../activities/run-requests/turns.ts';

const never = new AbortController().signal;

describe('createTurns', () => {
  it('lets in as many as there is room for, and the others in the order of asking as room comes back', async () => {
    const turns = createTurns(4);
    const entered: string[] = [];
    const enter = async (name: string, room: number) => {
      const turn = await turns.take(room, never);
      entered.push(name);
      return turn;
    };
    const [first, second] = [await enter('a', 2), await enter('b', 2)];
    const waiting = [enter('c', 3), enter('d', 1)];
    first[Symbol.dispose]();
    await new Promise(setImmediate);
    assert.deepEqual(entered, ['a', 'b']);
    second[Symbol.dispose]();
    await Promise.all(waiting);
    assert.deepEqual(entered, ['a', 'b', 'c', 'd']);
  });

  it('gives all of it to who asks for more than there is', async () => {
    const turns = createTurns(4);
    const large = await turns.take(100, never);
    let came = false;
    const small = turns.take(1, never).then(() => (came = true));
    await new Promise(setImmediate);
    assert.equal(came, false);
    large[Symbol.dispose]();
    large[Symbol.dispose]();
    await small;
  });

  it('lets in those behind who leaves while it waits, and gives it nothing', async () => {
    const turns = createTurns(4);
    const first = await turns.take(2, never);
    const leaving = new AbortController();
    const left = assert.rejects(turns.take(4, leaving.signal), /enough/);
    const behind = turns.take(2, never);
    leaving.abort(new Error('enough'));
    await left;
    (await behind)[Symbol.dispose]();
    first[Symbol.dispose]();
    (await turns.take(4, never))[Symbol.dispose]();
  });
});

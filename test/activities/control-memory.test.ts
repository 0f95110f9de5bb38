import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createControlMemory } from '../../activities/control-memory.ts';
import { createHeavyWork } from '../../activities/heavy-work.ts';

const MIB = 1024 * 1024;
const never = new AbortController().signal;

/** Whether a promise has settled once everything that is ready has run. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = {};
  await new Promise(setImmediate);
  return (await Promise.race([promise, Promise.resolve(pending)])) === pending;
}

describe('createControlMemory', () => {
  it('lets eight closings in at a time, and the next one when one has ended', async () => {
    const memory = createControlMemory();
    const held = await Promise.all(Array.from({ length: 8 }, async () => await memory.closing(never)));
    const ninth = memory.closing(never);
    assert.ok(await isPending(ninth));
    held[0]?.[Symbol.dispose]();
    assert.ok(!(await isPending(ninth)));
  });

  it('reserves more for a closing with a result line longer than a window', async () => {
    const memory = createControlMemory();
    using closing = await memory.closing(never);
    await closing.fit([{ length: 1 }, { length: 200 * MIB }], never);
    using _other = await memory.closing(never);
    assert.ok(await isPending(memory.closing(never)));
  });

  it('checks long lines one after the other, also while all slots publish', async () => {
    const memory = createControlMemory();
    await Promise.all(Array.from({ length: 16 }, async () => await memory.publishing(never)));
    const first = await memory.longLine(500 * MIB, never);
    const second = memory.longLine(500 * MIB, never);
    assert.ok(await isPending(second));
    first[Symbol.dispose]();
    assert.ok(!(await isPending(second)));
  });

  it('lets an activity that is cancelled leave the queue', async () => {
    const memory = createControlMemory();
    using _first = await memory.longLine(500 * MIB, never);
    const cancelled = new AbortController();
    const second = memory.longLine(500 * MIB, cancelled.signal);
    const closing = memory.closing(never);
    cancelled.abort(new Error('cancelled'));
    await assert.rejects(second, /cancelled/);
    assert.ok(!(await isPending(closing)));
  });
});

describe('createHeavyWork', () => {
  it('begins when all that are watched know of it, and tells those only that still are', async () => {
    const heavy = createHeavyWork();
    const told: string[] = [];
    const slow = Promise.withResolvers<void>();
    using _watched = heavy.watch(async () => {
      told.push(`slow ${heavy.isRunning}`);
      await slow.promise;
    });
    heavy.watch(async () => void told.push('gone'))[Symbol.dispose]();
    const beginning = heavy.begin();
    assert.ok(await isPending(beginning));
    slow.resolve();
    const work = await beginning;
    (await heavy.begin())[Symbol.dispose]();
    assert.deepEqual([told, heavy.isRunning], [['slow true'], true]);
    work[Symbol.dispose]();
    assert.equal(heavy.isRunning, false);
  });
});

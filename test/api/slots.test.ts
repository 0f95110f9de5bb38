import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSlots } from '../../src/api/slots.ts';

const BOUNDS = { what: '2 lists at a time', perTenant: 2, total: 3, maxWaiting: 1, maxWaitMs: 20 };
const never = new AbortController().signal;

describe('createSlots', () => {
  it('refuses a tenant that is full with 429, and any tenant of a full process with 503', async () => {
    const slots = createSlots(BOUNDS);
    await slots.enter('a', never);
    await slots.enter('a', never);
    await assert.rejects(slots.enter('a', never), { status: 429, code: 'rate_limit_exceeded' });
    await slots.enter('b', never);
    await assert.rejects(slots.enter('c', never), { status: 503 });
  });

  it('gives a slot that comes free to the first that may have it, and no slot twice', async () => {
    const slots = createSlots({ ...BOUNDS, maxWaitMs: 10_000 });
    const [first, , other] = [await slots.enter('a', never), await slots.enter('a', never), await slots.enter('b', never)];
    const order: string[] = [];
    const waiting = ['a', 'b'].map(async (tenant) => {
      const leave = await slots.enter(tenant, never);
      order.push(tenant);
      return leave;
    });
    other();
    other();
    await waiting[1];
    assert.deepEqual(order, ['b']);
    first();
    await waiting[0];
    assert.deepEqual(order, ['b', 'a']);
    await assert.rejects(createSlots(BOUNDS).enter('a', AbortSignal.abort(new Error('gone'))), /gone/);
  });

  it('bounds how many of a tenant wait, and forgets one whose client is gone', async () => {
    const slots = createSlots({ ...BOUNDS, maxWaitMs: 10_000 });
    const [first] = [await slots.enter('a', never), await slots.enter('a', never)];
    const gone = new AbortController();
    const left = slots.enter('a', gone.signal);
    await assert.rejects(slots.enter('a', never), { status: 429 });
    gone.abort(new Error('the client hung up'));
    await assert.rejects(left, /the client hung up/);
    first();
    await slots.enter('a', never);
  });
});

import assert from 'node:assert/strict';
import { beforeEach, afterEach, describe, it, mock } from 'node:test';
import { createGate, type Gate, type GateOptions } from '../../src/upstream/gate.ts';

const never = new AbortController().signal;
const answer = { kind: 'answer', ms: 5 } as const;
const unavailable = { kind: 'unavailable' } as const;
const refusal = { kind: 'overload', retryAfterMs: null } as const;

/** How far the wall clock was set, which the other clock does not notice. */
let setByMs = 0;

function newGate(options: GateOptions = {}): Gate {
  return createGate({ nowMs: () => Date.now() + setByMs, monotonicMs: () => Date.now(), ...options });
}

/** Lets requests wait at the gate; `passed` is filled as they come through. */
function waitAt(gate: Gate, ...keys: string[]): string[] {
  const passed: string[] = [];
  for (const key of keys) void gate.pass(key, never).then((verdict) => passed.push(`${key} ${verdict}`));
  return passed;
}

/** Moves the clock in small steps, so that promises settle between timers. */
async function tick(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 50) {
    mock.timers.tick(Math.min(50, left));
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
  }
}

describe('createGate', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 }));
  afterEach(() => {
    mock.timers.reset();
    setByMs = 0;
  });

  it('is open at first', async () => {
    const gate = newGate();
    assert.equal(await gate.pass('a', never), 'open');
    assert.equal(gate.closed, null);
  });

  it('closes when the upstream cannot be reached, and says since when', () => {
    const gate = newGate();
    gate.observe('a', unavailable);
    assert.deepEqual(gate.closed, { sinceMs: 1_000_000, reason: 'it cannot be reached' });
  });

  it('stays open when one connection fails while others are answered, and closes when a second does with no answer between', () => {
    const gate = newGate();
    for (const back of [answer, refusal, { kind: 'fault', answered: true }] as const) {
      gate.observe('a', back);
      gate.observe('b', unavailable);
      assert.equal(gate.closed, null);
    }
    gate.observe('b', { kind: 'fault', answered: false });
    gate.observe('c', unavailable);
    assert.notEqual(gate.closed, null);
  });

  it('takes the answer of the probe that opened it for one', async () => {
    const gate = newGate();
    gate.observe('a', unavailable);
    const passed = waitAt(gate, 'a');
    await tick(250);
    assert.deepEqual(passed, ['a probe']);
    gate.observe('a', answer);
    gate.observe('b', unavailable);
    assert.equal(gate.closed, null);
    gate.observe('b', unavailable);
    assert.notEqual(gate.closed, null);
  });

  it('closes when three different requests are refused, not when one is refused three times', () => {
    const gate = newGate();
    for (let count = 0; count < 5; count += 1) gate.observe('a', refusal);
    gate.observe('b', refusal);
    assert.equal(gate.closed, null);
    gate.observe('c', refusal);
    assert.notEqual(gate.closed, null);
  });

  it('stays open when three are refused before the next answer comes while others are taken, and closes when six are in a row', () => {
    let inARow = 3;
    const gate = newGate({ refusedInARow: () => inARow });
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) gate.observe(key, refusal);
    assert.equal(gate.closed, null);
    inARow = 6;
    gate.observe('h', refusal);
    assert.notEqual(gate.closed, null);
  });

  it('begins to count refusals again after a success', () => {
    const gate = newGate();
    gate.observe('a', refusal);
    gate.observe('b', refusal);
    gate.observe('d', answer);
    gate.observe('c', refusal);
    assert.equal(gate.closed, null);
  });

  it('lets waiting requests probe in turn, at intervals that grow to 15 s', async () => {
    const gate = newGate();
    gate.observe('a', unavailable);
    const times: string[] = [];
    const probe = async (key: string): Promise<void> => {
      while ((await gate.pass(key, never)) === 'probe') {
        times.push(`${key} ${Date.now() - 1_000_000}`);
        gate.observe(key, unavailable);
      }
    };
    void probe('a');
    void probe('b');
    await tick(62_000);
    assert.deepEqual(times, ['a 250', 'b 500', 'a 1000', 'b 2000', 'a 4000', 'b 8000', 'a 16000', 'b 31000', 'a 46000', 'b 61000']);
  });

  for (const [way, ms] of [
    ['forward', 3_600_000],
    ['back', -3_600_000],
  ] as const) {
    it(`probes and gives up at the same times when the wall clock is set ${way} by an hour`, async () => {
      const gate = newGate({ unavailableMaxMs: 3000 });
      gate.observe('a', unavailable);
      const passed = waitAt(gate, 'a', 'b', 'c');
      setByMs = ms;
      await tick(200);
      assert.deepEqual(passed, []);
      await tick(50);
      assert.deepEqual(passed, ['a probe']);
      gate.observe('a', { kind: 'overload', retryAfterMs: 5000 });
      await tick(2700);
      assert.deepEqual(passed, ['a probe']);
      await tick(50);
      assert.deepEqual(passed, ['a probe', 'b given_up', 'c given_up']);
    });
  }

  it('opens for all when a probe is answered', async () => {
    const gate = newGate();
    gate.observe('a', unavailable);
    const passed = waitAt(gate, 'a', 'b', 'c');
    await tick(250);
    assert.deepEqual(passed, ['a probe']);
    gate.observe('a', answer);
    await tick(1);
    assert.deepEqual(passed, ['a probe', 'b open', 'c open']);
    assert.equal(gate.closed, null);
  });

  it('opens when a probe ends in a fault that somebody answered, and stays closed when nobody did', async () => {
    const gate = newGate();
    gate.observe('a', unavailable);
    const passed = waitAt(gate, 'a', 'b');
    await tick(250);
    gate.observe('a', { kind: 'fault', answered: false });
    assert.notEqual(gate.closed, null);
    await tick(250);
    assert.deepEqual(passed, ['a probe', 'b probe']);
    gate.observe('b', { kind: 'fault', answered: true });
    assert.equal(gate.closed, null);
  });

  it('does not open for an answer to a request sent before it closed', () => {
    const gate = newGate();
    gate.observe('a', unavailable);
    gate.observe('earlier', answer);
    assert.notEqual(gate.closed, null);
  });

  it('obeys the Retry-After of a refused probe', async () => {
    const gate = newGate();
    for (const key of ['a', 'b', 'c']) gate.observe(key, refusal);
    const passed = waitAt(gate, 'a', 'b');
    await tick(250);
    gate.observe('a', { kind: 'overload', retryAfterMs: 5000 });
    await tick(4900);
    assert.deepEqual(passed, ['a probe']);
    await tick(100);
    assert.deepEqual(passed, ['a probe', 'b probe']);
  });

  it('sends the next probe at once when one was called off', async () => {
    const gate = newGate();
    gate.observe('a', unavailable);
    const passed = waitAt(gate, 'a', 'b');
    await tick(250);
    gate.observe('a', { kind: 'ignored' });
    await tick(1);
    assert.deepEqual(passed, ['a probe', 'b probe']);
  });

  it('does not let a slow probe hold up the next one', async () => {
    const gate = newGate();
    gate.observe('a', unavailable);
    const passed = waitAt(gate, 'a', 'b');
    await tick(500);
    assert.deepEqual(passed, ['a probe', 'b probe']);
  });

  it('rejects who stops waiting, and lets the others probe', async () => {
    const gate = newGate();
    gate.observe('a', unavailable);
    const leaving = new AbortController();
    const left = assert.rejects(gate.pass('a', leaving.signal), /enough/);
    const passed = waitAt(gate, 'b');
    leaving.abort(new Error('enough'));
    await left;
    await tick(250);
    assert.deepEqual(passed, ['b probe']);
  });

  it('lets waiting requests give up after the time that is configured, but goes on probing', async () => {
    const gate = newGate({ unavailableMaxMs: 3000 });
    gate.observe('a', unavailable);
    const passed = waitAt(gate, 'a', 'b', 'c', 'd', 'e', 'f');
    await tick(3000);
    assert.deepEqual(passed, ['a probe', 'b probe', 'c probe', 'd probe', 'e given_up', 'f given_up']);
    assert.equal(await gate.pass('g', never), 'given_up');
    await tick(1000);
    assert.equal(await gate.pass('h', never), 'probe');
    gate.observe('h', answer);
    assert.equal(await gate.pass('i', never), 'open');
  });

  it('tells who asks whether it closes in time', async () => {
    const gate = newGate();
    const late = gate.closesWithin(5000, never);
    await tick(5000);
    assert.equal(await late, false);
    const inTime = gate.closesWithin(5000, never);
    gate.observe('a', unavailable);
    assert.equal(await inTime, true);
    assert.equal(await gate.closesWithin(0, never), true);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createIntake, type Intake } from '../../src/upstream/admission/intake.ts';

const never = new AbortController().signal;

/** As many slices of so many lines as there is capacity for, each taken as soon as it may be. */
function takeAll(intake: Intake, lines: number) {
  const taken = [];
  for (let reservation = intake.reserveNow(); reservation !== null; reservation = intake.reserveNow()) {
    reservation.end();
    taken.push(intake.take(lines));
  }
  return taken;
}

describe('createIntake', () => {
  it('takes twice as many slices of one as may be in flight', () => {
    const intake = createIntake({ limit: () => 16, maxSlices: 2000 });
    assert.equal(takeAll(intake, 1).length, 32);
  });

  it('takes slices of many by their lines', () => {
    const intake = createIntake({ limit: () => 256, maxSlices: 2000 });
    assert.equal(takeAll(intake, 250).length, 3);
  });

  it('keeps capacity for what is still to come, by what slices lately had', () => {
    const intake = createIntake({ limit: () => 100, maxSlices: 2000 });
    for (let count = 0; count < 20; count += 1) intake.take(100)[Symbol.dispose]();
    const reserved = [];
    for (let reservation = intake.reserveNow(); reservation !== null; reservation = intake.reserveNow()) reserved.push(reservation);
    assert.ok(reserved.length <= 3, `${reserved.length} slices of about 100 lines for 200 lines`);
    for (const each of reserved) each.end();
    assert.notEqual(intake.reserveNow(), null);
  });

  it('has capacity again as lines finish, also before their slice does', async () => {
    let limit = 10;
    const intake = createIntake({ limit: () => limit, maxSlices: 2000 });
    const [slice] = takeAll(intake, 20);
    assert.equal(intake.reserveNow(), null);
    let came = false;
    const reservation = intake.reserve(never).then(() => (came = true));
    await new Promise(setImmediate);
    assert.equal(came, false);
    for (let count = 0; count < 18; count += 1) slice?.finishLine();
    await reservation;
    limit = 1;
    assert.equal(intake.reserveNow(), null);
    slice?.[Symbol.dispose]();
  });

  it('always has capacity for one slice when nothing is taken', () => {
    const intake = createIntake({ limit: () => 1, maxSlices: 2000 });
    for (let count = 0; count < 20; count += 1) intake.take(500)[Symbol.dispose]();
    assert.notEqual(intake.reserveNow(), null);
  });

  it('takes what finishes in half a second where that is more', () => {
    let nowMs = 1000;
    const intake = createIntake({ limit: () => 100, maxSlices: 2000, monotonicMs: () => nowMs });
    const [slice] = takeAll(intake, 500);
    // 400 lines in 200 ms, and one more later: the window is over.
    for (let count = 0; count < 400; count += 1) slice?.finishLine();
    nowMs += 200;
    slice?.finishLine();
    nowMs += 50;
    for (let count = 0; count < 99; count += 1) slice?.finishLine();
    slice?.[Symbol.dispose]();
    assert.equal(takeAll(intake, 100).length, 9, '401 lines in 250 ms are 802 in half a second');
  });

  it('forgets how fast lines finished when none finish any more', () => {
    let nowMs = 1000;
    const intake = createIntake({ limit: () => 100, maxSlices: 2000, monotonicMs: () => nowMs });
    const slice = intake.take(1001);
    for (let count = 0; count < 1000; count += 1) slice.finishLine();
    nowMs += 250;
    slice.finishLine();
    slice[Symbol.dispose]();
    nowMs += 250;
    const quick = takeAll(intake, 100);
    assert.equal(quick.length, 20, '1,000 lines in 250 ms are 2,000 in half a second');
    for (const each of quick) each[Symbol.dispose]();
    nowMs += 3_600_000;
    assert.equal(takeAll(intake, 1).length, 200);
  });

  it('has capacity for others while a line waits out its refusal, and none when it goes on', () => {
    const intake = createIntake({ limit: () => 10, maxSlices: 2000 });
    const slices = takeAll(intake, 1);
    const [one, other] = slices;
    assert.ok(one && other);
    const backs = [one.stepAside(), other.stepAside()];
    assert.equal(takeAll(intake, 1).length, 2);
    for (const back of backs) {
      back();
      back();
    }
    one.finishLine();
    one[Symbol.dispose]();
    assert.equal(takeAll(intake, 1).length, 0, 'there is one line too many still');
    other.finishLine();
    other[Symbol.dispose]();
    for (const slice of slices.slice(2, 5)) slice[Symbol.dispose]();
    assert.equal(takeAll(intake, 1).length, 3);
  });

  it('wakes a caller that waits for capacity when a line steps aside', async () => {
    const intake = createIntake({ limit: () => 1, maxSlices: 2000 });
    const slice = intake.take(2);
    const reservation = intake.reserve(never);
    slice.stepAside();
    (await reservation).end();
  });

  it('counts the lines that stand aside, and lends nothing of slices that take no capacity', () => {
    const intake = createIntake({ limit: () => 1, maxSlices: 2000 });
    const slice = intake.take(2);
    const back = slice.stepAside();
    slice.stepAside();
    assert.equal(intake.aside, 2);
    back();
    assert.equal(intake.aside, 1);
    slice[Symbol.dispose]();
    assert.equal(intake.aside, 0);
    intake.take(2);
    intake.take(0).stepAside();
    assert.equal(intake.reserveNow(), null);
  });

  it('takes no more slices than allowed, however short', () => {
    const intake = createIntake({ limit: () => 1000, maxSlices: 5 });
    assert.equal(takeAll(intake, 1).length, 5);
  });

  it('rejects who no longer waits', async () => {
    const intake = createIntake({ limit: () => 1, maxSlices: 2000 });
    takeAll(intake, 10);
    const leaving = new AbortController();
    const waiting = assert.rejects(intake.reserve(leaving.signal), /enough/);
    leaving.abort(new Error('enough'));
    await waiting;
    await assert.rejects(intake.reserve(leaving.signal), /enough/);
  });
});

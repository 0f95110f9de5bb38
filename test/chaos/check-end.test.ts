import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type OpenAI from 'openai';
import { checkEnd } from './check-end.ts';
import { facts } from './facts.ts';
import type { CancelAnswer } from './load.ts';
import type { MadeInput } from './make-input.ts';

const { batch: completed, input: right } = facts();
delete completed.completed_at;
const cancelled: OpenAI.Batch = { ...completed, status: 'cancelled', cancelling_at: 12, cancelled_at: 13 };
const short: OpenAI.Batch = { ...completed, completion_window: '20s', expires_at: 30 };
const expired: OpenAI.Batch = { ...short, status: 'expired', expired_at: 30 };
const hasty: MadeInput = { ...right, window: '20s' };
const wrong: MadeInput = { ...right, wrongLine: 3 };
const { in_progress_at: _, ...unstarted } = completed;
const failedAt = (line: number): OpenAI.Batch => ({
  ...unstarted,
  status: 'failed',
  errors: { object: 'list', data: [{ code: 'duplicate_custom_id', message: 'twice', param: 'custom_id', line }] },
});

type Case = readonly [what: string, batch: OpenAI.Batch, input: MadeInput, cancels: readonly CancelAnswer[]];

const RIGHT: readonly Case[] = [
  ['one that runs to its end', completed, right, []],
  ['one that is done before its cancel is heard, which is refused', completed, right, ['nothing', 'refused']],
  ['one that is cancelled', cancelled, right, ['cancelling']],
  ['one whose cancel was not answered, and heard', cancelled, right, ['nothing']],
  ['one whose cancel was not answered, and not heard', completed, right, ['nothing']],
  ['one that is over its time', expired, hasty, []],
  ['one that is in time', short, hasty, []],
  ['one whose input is wrong', failedAt(3), wrong, []],
  [
    'one whose input is wrong, cancelled before anybody looked',
    { ...unstarted, status: 'cancelled', cancelled_at: 13 },
    wrong,
    ['cancelled'],
  ],
];

const WRONG: readonly (readonly [...Case, told: RegExp])[] = [
  ['a batch of a day that is expired with nothing run', { ...completed, status: 'expired', expired_at: 86_410 }, right, [], /lasts a day/],
  ['one that expired before its window ended', { ...expired, expired_at: 29 }, hasty, [], /at 29, with time until 30/],
  ['one that nobody cancelled', cancelled, right, [], /nobody asked for it/],
  ['one that is cancelled, although that was refused', cancelled, right, ['refused'], /a cancel of it was refused/],
  ['one that is completed, although a cancel was accepted', completed, right, ['cancelling'], /a cancel of it was accepted/],
  ['one that is completed, although a second cancel was accepted', completed, right, ['nothing', 'cancelling'], /was accepted/],
  ['one that is expired, although a cancel was accepted', expired, hasty, ['cancelling'], /a cancel of it was accepted/],
  ['one that failed with a right input', failedAt(3), right, [], /its input is right/],
  ['one that failed for another line', failedAt(4), wrong, [], /its line 3 is wrong/],
  ['one that failed and says not why', { ...failedAt(3), errors: { object: 'list', data: [] } }, wrong, [], /its line 3 is wrong/],
  ['one that is completed with a wrong input', completed, wrong, [], /its line 3 is wrong/],
  ['one that ran with a wrong input', cancelled, wrong, ['cancelling'], /it ran, although its line 3 is wrong/],
  ['one with another window than was asked for', short, right, [], /asked for 24h, it was given 20s and 20 s/],
  ['one with another end of its window', { ...completed, expires_at: 11 }, right, [], /it was given 24h and 1 s/],
  ['one that has not ended', { ...completed, status: 'in_progress' }, right, [], /this is no end/],
];

describe('the check of the end that a batch came to', () => {
  for (const [what, batch, input, cancels] of RIGHT) {
    it(`finds nothing wrong with ${what}`, () => {
      assert.deepEqual(checkEnd(batch, input, cancels), []);
    });
  }

  for (const [what, batch, input, cancels, told] of WRONG) {
    it(`tells of ${what}`, () => {
      const complaints = checkEnd(batch, input, cancels);
      assert.ok(
        complaints.some((complaint) => told.test(complaint)),
        `${told} is not in ${JSON.stringify(complaints)}`,
      );
    });
  }
});

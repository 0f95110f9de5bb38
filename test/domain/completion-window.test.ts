import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseCompletionWindow } from '../../src/domain/completion-window.ts';

describe('parseCompletionWindow(text)', () => {
  it('reads a number and a unit', () => {
    const read = ['24h', '1h', '90m', '7d', '30s', '1500ms'].map(parseCompletionWindow);
    assert.deepEqual(read, [86_400_000, 3_600_000, 5_400_000, 604_800_000, 30_000, 1500]);
  });

  it('answers null for everything else', () => {
    for (const text of [
      '',
      'h',
      '24',
      '0h',
      '-1h',
      '1.5h',
      '24H',
      ' 24h',
      '24h ',
      '1h30m',
      '24h\n',
      'invalid',
      '1w',
      '9999999999999999h',
      '999999999999999d',
    ]) {
      assert.equal(parseCompletionWindow(text), null, text);
    }
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { aBatch } from './fake-api.ts';
import { bytes, createProgressLine, createStatusLine, duration } from '../../src/cli/progress-line.ts';

/** The counts of a batch of 3,000 lines after two seconds. */
function moving(status: 'in_progress' | 'cancelling' | 'cancelled'): string[] {
  const line = createProgressLine();
  line(aBatch({ status, request_counts: { total: 3000, completed: 0, failed: 0 } }), 0);
  return line(aBatch({ status, request_counts: { total: 3000, completed: 1990, failed: 83 } }), 2000);
}

describe('createProgressLine', () => {
  it('shows counts, rate and time left', () => {
    assert.equal(moving('in_progress')[0], 'in_progress [████████████████░░░░░░░░] 69%  2,073 of 3,000  83 failed  1,037/s  1 s left');
  });

  it('takes the rate of the last ten seconds', () => {
    const line = createProgressLine();
    line(aBatch({ request_counts: { total: 100, completed: 0, failed: 0 } }), 0);
    line(aBatch({ request_counts: { total: 100, completed: 50, failed: 0 } }), 20_000);
    assert.match(line(aBatch({ request_counts: { total: 100, completed: 55, failed: 0 } }), 25_000)[0] ?? '', / {2}1\.0\/s {2}45 s left$/);
  });

  it('shows no time left when the batch has ended or is being cancelled', () => {
    for (const status of ['cancelling', 'cancelled'] as const) for (const variant of moving(status)) assert.doesNotMatch(variant, /left/);
  });

  it('shows the status alone while nothing is counted', () => {
    const batch = aBatch({ status: 'validating', request_counts: { total: 0, completed: 0, failed: 0 } });
    assert.deepEqual(createProgressLine()(batch, 0), ['validating']);
  });
});

describe('createStatusLine on a terminal', () => {
  it('leaves whole facts out where the terminal is narrow, and never cuts one', () => {
    const facts = ['in_progress', '69%', '2,073 of 3,000', '83 failed', '1,037/s', '1 s left'];
    const variants = moving('in_progress');
    for (let columns = 12; columns <= 120; columns++) {
      const written: string[] = [];
      createStatusLine({ isTTY: true, columns, write: (text: string | Uint8Array) => written.push(String(text)) > 0 }).show(variants);
      const text = written[0]?.replace('\r\x1b[K', '') ?? '';
      assert.ok(text.length < columns, `${text} in ${columns}`);
      let rest = text.replace(/\[.*\] /, '');
      for (const fact of facts) rest = rest.replace(fact, '');
      assert.equal(rest.trim(), '', `only whole facts in ${JSON.stringify(text)}`);
    }
  });
});

describe('duration and bytes', () => {
  it('have at most two units, and three digits', () => {
    assert.deepEqual([59, 61, 7300, 200_000].map(duration), ['59 s', '1 min 1 s', '2 h 1 min', '2 d 7 h']);
    assert.deepEqual([0, 999, 1200, 200_400_000].map(bytes), ['0 B', '999 B', '1.2 kB', '200 MB']);
  });
});

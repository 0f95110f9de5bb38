import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { aBatch } from './fake-api.ts';
import { createProgressLine, duration } from '../../src/cli/progress-line.ts';

describe('createProgressLine', () => {
  it('shows counts, rate and time left', () => {
    const line = createProgressLine();
    line(aBatch({ request_counts: { total: 2000, completed: 0, failed: 0 } }), 0);
    assert.equal(
      line(aBatch({ request_counts: { total: 2000, completed: 990, failed: 10 } }), 2000),
      'in_progress [████████████░░░░░░░░░░░░] 50%  1,000 of 2,000  10 failed  500/s  2 s left',
    );
  });

  it('takes the rate of the last ten seconds', () => {
    const line = createProgressLine();
    line(aBatch({ request_counts: { total: 100, completed: 0, failed: 0 } }), 0);
    line(aBatch({ request_counts: { total: 100, completed: 50, failed: 0 } }), 20_000);
    assert.match(line(aBatch({ request_counts: { total: 100, completed: 55, failed: 0 } }), 25_000), / {2}1\.0\/s {2}45 s left$/);
  });

  it('shows the status alone while nothing is counted', () => {
    assert.equal(
      createProgressLine()(aBatch({ status: 'validating', request_counts: { total: 0, completed: 0, failed: 0 } }), 0),
      'validating',
    );
  });
});

describe('duration', () => {
  it('has the two largest units', () => assert.deepEqual([59, 61, 7300].map(duration), ['59 s', '1 min 1 s', '2 h 1 min']));
});

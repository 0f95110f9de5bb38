import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { reportCounts } from '../../activities/run-requests/report-counts.ts';

describe('reportCounts', () => {
  it('reports many results after three seconds, few after six, and nothing where there is nothing new', (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const stored = { completed: 0, failed: 0 };
    let reports = 0;
    const reporting = reportCounts({ stored }, () => (reports += 1));
    const after = (seconds: number) => {
      t.mock.timers.tick(seconds * 1000);
      return reports;
    };
    stored.completed = 7;
    assert.equal(after(3), 0);
    assert.equal(after(3), 1);
    assert.equal(after(30), 1);
    stored.failed = 1;
    assert.equal(after(3), 2);
    reporting[Symbol.dispose]();
    stored.completed = 20;
    assert.equal(after(30), 2);

    const promptly = reportCounts({ stored }, () => (reports += 1));
    assert.equal(after(2), 2);
    assert.equal(after(1), 3);
    promptly[Symbol.dispose]();
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { containsLine, lineRanges, linesIn } from '../../src/domain/line-ranges.ts';

const ascending = fc.uniqueArray(fc.integer({ min: 1, max: 60 })).map((lines) => lines.sort((a, b) => a - b));

describe('lineRanges(lines)', () => {
  it('joins neighbours and takes repeats', () => {
    assert.deepEqual(lineRanges([1, 2, 2, 3, 7, 9, 10]), [
      [1, 3],
      [7, 7],
      [9, 10],
    ]);
    assert.deepEqual(lineRanges([]), []);
  });

  it('holds exactly the lines given, in as few ranges as there can be', () => {
    fc.assert(
      fc.property(ascending, (lines) => {
        const ranges = lineRanges(lines);
        assert.deepEqual([...linesIn(ranges)], lines);
        assert.ok(ranges.every(([first], at) => at === 0 || first > (ranges[at - 1]?.[1] ?? 0) + 1));
        for (let line = 0; line <= 61; line++) assert.equal(containsLine(ranges, line), lines.includes(line));
      }),
    );
  });
});

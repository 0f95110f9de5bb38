import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { allLines, listedLines } from '../../src/domain/own-lines.ts';

describe('allLines(range)', () => {
  it('counts and cuts every line', () => {
    const own = allLines([3, 10]);
    assert.deepEqual(own.whole, [3, 10]);
    assert.equal(own.count([3, 10]), 8);
    assert.deepEqual(own.cut([3, 10], 2), [
      [3, 4],
      [5, 10],
    ]);
    assert.deepEqual(own.cut([9, 10], 2), [[9, 10], null]);
    assert.deepEqual(own.cut([9, 10], 5), [[9, 10], null]);
    assert.deepEqual(
      own.in([
        [4, 5],
        [9, 9],
      ]),
      [4, 5, 9],
    );
    assert.deepEqual(own.ranges([4, 5, 9]), [
      [4, 5],
      [9, 9],
    ]);
  });
});

describe('listedLines(lines)', () => {
  it('counts and cuts its own lines only', () => {
    const own = listedLines([2, 3, 7, 9, 20]);
    assert.deepEqual(own.whole, [2, 20]);
    assert.equal(own.count([3, 9]), 3);
    assert.deepEqual(own.cut([2, 20], 3), [
      [2, 7],
      [9, 20],
    ]);
    assert.deepEqual(own.cut([9, 20], 2), [[9, 20], null]);
    assert.deepEqual(
      own.in([
        [1, 8],
        [20, 30],
      ]),
      [2, 3, 7, 20],
    );
    assert.deepEqual(own.ranges([2, 3, 7, 20]), [
      [2, 7],
      [20, 20],
    ]);
  });

  it('cuts any list into slices that hold each line once', () => {
    const lines = fc.uniqueArray(fc.integer({ min: 1, max: 200 }), { minLength: 1 }).map((all) => all.toSorted((a, b) => a - b));
    fc.assert(
      fc.property(lines, fc.integer({ min: 1, max: 20 }), (list, size) => {
        const own = listedLines(list);
        const found: number[] = [];
        for (let rest: [number, number] | null = own.whole; rest !== null;) {
          const [slice, left]: [[number, number], [number, number] | null] = own.cut(rest, size);
          assert.equal(own.count(slice), own.in([slice]).length);
          assert.ok(own.count(slice) === size || left === null);
          found.push(...own.in([slice]));
          rest = left;
        }
        assert.deepEqual(found, list);
        assert.deepEqual(own.ranges(list), [own.whole]);
      }),
    );
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GROUPS } from './cases.ts';
import { caseTests } from './coverage.ts';
import { readTable, rowOf, totalsOf } from './table.ts';

const CASES = GROUPS.flatMap((group) => group.cases);

describe('the list of conformance cases', () => {
  it('names the cases 1 to 117, each once and in order', () => {
    assert.deepEqual(
      CASES.map(({ number }) => number),
      Array.from({ length: 117 }, (_, index) => index + 1),
    );
  });

  it('has exactly one test for each case that is not out, and none for the others', async () => {
    const tested = (await caseTests()).map(({ number }) => number).sort((one, other) => one - other);
    assert.deepEqual(
      tested,
      CASES.filter(({ out }) => out === undefined).map(({ number }) => number),
    );
  });

  it('is what docs/conformance.md shows (npm run conformance)', async () => {
    const tests = await caseTests();
    const { lastRun, totals, rows } = await readTable();
    assert.deepEqual(
      rows.map(({ number, text, file }) => ({ number, text, file })),
      CASES.map((each) => rowOf(each, tests)),
    );
    for (const [index, { result, number }] of rows.entries()) {
      const { out, reduced } = CASES[index] ?? {};
      const wanted = out === undefined ? /^(passes|\*\*fails\*\*)(; reduced: .+)?$/ : /^out: .+$/;
      assert.match(result, wanted, `case ${number}`);
      assert.ok(result.endsWith(out ?? reduced ?? result), `case ${number} says ${result}`);
      assert.equal(result.includes('; reduced: '), reduced !== undefined, `case ${number} says ${result}`);
    }
    assert.deepEqual(totals, totalsOf(rows.map(({ result }) => result)));
    assert.match(lastRun ?? '', /^Last run on \d{4}-\d\d-\d\d( at commit [0-9a-f]{7,}(-dirty)?)?\.$/);
  });
});

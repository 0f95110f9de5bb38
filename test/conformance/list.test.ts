import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GROUPS } from './cases.ts';
import { caseTests } from './coverage.ts';
import { conformancePage, readPage } from './table.ts';

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
    assert.equal(await readPage(), await conformancePage(null));
  });

  it('shows the outcome of each case of a run, and fails a case that did not run', async () => {
    const tests = await caseTests();
    const outcomes = new Map(tests.map(({ name, number }) => [name, number !== 5] as const));
    const [, missing] = tests;
    outcomes.delete(missing?.name ?? '');
    const page = await conformancePage(outcomes);
    assert.match(page, /^\| 5 \| .* \| \*\*fails\*\*; whole \|/m);
    assert.match(page, new RegExp(`^\\| ${missing?.number} \\| .* \\| \\*\\*fails\\*\\*; `, 'm'));
    assert.match(page, /^\| 6 \| .* \| passes; whole \|/m);
    assert.match(page, /^\| fail \| 2 \|$/m);
  });
});

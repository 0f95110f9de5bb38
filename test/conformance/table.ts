import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Case, GROUPS } from './cases.ts';
import { type CaseTest, caseTests } from './coverage.ts';

const PAGE = fileURLToPath(new URL('../../docs/conformance.md', import.meta.url));

/** Whether the test of each case passed in one run, by the name of the test. */
export type CaseOutcomes = ReadonlyMap<string, boolean>;

/** The page as it lies in `docs/`. */
export async function readPage(): Promise<string> {
  return await readFile(PAGE, 'utf8');
}

/**
 * The page of all cases. Without outcomes it says what the tests hold the product to, and lies in `docs/`; with the outcomes of a
 * run it says what became of each case, and lies in `test-results/`.
 */
export async function conformancePage(outcomes: CaseOutcomes | null): Promise<string> {
  const tests = await caseTests();
  const cases = GROUPS.flatMap((group) => group.cases);
  const results = new Map(cases.map((each) => [each.number, resultOf(each, tests, outcomes)]));
  const totals = totalsOf([...results.values()], outcomes !== null).map(([what, count]) => `| ${what} | ${count} |`);
  const sections = GROUPS.map(({ title, cases: ofGroup }) => {
    const rows = ofGroup.map((each) => `| ${each.number} | ${escaped(each.text)} | ${results.get(each.number)} | ${linkOf(each, tests)} |`);
    return `## ${title}\n\n| number | case | ${outcomes === null ? 'tested' : 'result'} | test |\n| ---: | --- | --- | --- |\n${rows.join('\n')}\n`;
  });
  return `# Conformance

The numbered cases of the wire contract: what any OpenAI client may expect of files and batches. Each case is a test over
HTTP against real servers, with its number in its name (\`test/conformance/\`). "Reduced" says where a test does less than
its case, "out" why there is none. \`npm test -- test/conformance\` runs all of them and writes this page with the result of
each case to \`test-results/conformance.md\`, as every whole run of the tests does. \`npm run conformance\` writes this page.

## Totals

| | |
| --- | ---: |
${totals.join('\n')}

${sections.join('\n')}`;
}

/** The totals of a run as one line. */
export function totalsLine(outcomes: CaseOutcomes): string {
  const passed = [...outcomes.values()].filter(Boolean).length;
  const cases = GROUPS.flatMap((group) => group.cases);
  const count = (of: (each: Case) => boolean) => cases.filter(of).length;
  return `Conformance: ${passed} of ${cases.length} cases pass, ${count(({ reduced }) => reduced !== undefined)} of them in a reduced form, ${count(({ out }) => out !== undefined)} are out`;
}

function resultOf({ number, out, reduced }: Case, tests: readonly CaseTest[], outcomes: CaseOutcomes | null): string {
  if (out !== undefined) return `out: ${out}`;
  const form = reduced === undefined ? 'whole' : `reduced: ${reduced}`;
  if (outcomes === null) return form;
  const name = tests.find((test) => test.number === number)?.name ?? '';
  return `${outcomes.get(name) === true ? 'passes' : '**fails**'}; ${form}`;
}

function totalsOf(results: readonly string[], isRun: boolean): (readonly [what: string, count: number])[] {
  const count = (what: RegExp) => results.filter((result) => what.test(result)).length;
  const outcomes = [
    ['pass', count(/^passes/)],
    ['fail', count(/^\*\*fails/)],
  ] as const;
  return [['cases', results.length], ...(isRun ? outcomes : []), ['reduced', count(/\breduced: /)], ['out', count(/^out/)]];
}

function linkOf({ number }: Case, tests: readonly CaseTest[]): string {
  const file = tests.find((test) => test.number === number)?.file;
  return file === undefined ? '' : `[${file}](../test/conformance/${file})`;
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|');
}

if (import.meta.main) await writeFile(PAGE, await conformancePage(null));

import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Case, GROUPS } from './cases.ts';
import { type CaseTest, caseFiles, caseTests } from './coverage.ts';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const TABLE = fileURLToPath(new URL('../../docs/conformance.md', import.meta.url));
const FAILS = /^\*\*fails/;

/** A row of docs/conformance.md as it is written there. */
export interface Row {
  number: number;
  text: string;
  result: string;
  file: string;
}

/** The page as it lies in `docs/`: when it was written and of what, its totals and its rows. */
export async function readTable(): Promise<{ lastRun: string | null; totals: Totals; rows: Row[] }> {
  const page = await readFile(TABLE, 'utf8');
  const [lastRun = null] = /^Last run .+$/m.exec(page) ?? [];
  const totals = [...page.matchAll(/^\| ([a-z ]+) \| (\d+) \|$/gm)].map(([, what = '', count]) => [what, Number(count)] as const);
  const rows = [...page.matchAll(/^\| (\d+) \| (.*) \| (.*) \| (.*) \|$/gm)];
  return {
    lastRun,
    totals,
    rows: rows.map(([, number, text = '', result = '', file = '']) => ({ number: Number(number), text, result, file })),
  };
}

/** How many results are of which kind, as the page shows them. */
export type Totals = readonly (readonly [what: string, count: number])[];

/** The totals of these results. */
export function totalsOf(results: readonly string[]): Totals {
  const count = (what: RegExp) => results.filter((result) => what.test(result)).length;
  return [
    ['cases', results.length],
    ['pass', count(/^passes/)],
    ['of them in a reduced form', count(/^passes; reduced/)],
    ['fail', count(FAILS)],
    ['out', count(/^out/)],
  ];
}

/** What the row of a case says beside its result. */
export function rowOf({ number, text }: Case, tests: readonly CaseTest[]): Omit<Row, 'result'> {
  const file = tests.find((test) => test.number === number)?.file;
  return { number, text: text.replaceAll('|', '\\|'), file: file === undefined ? '' : `[${file}](../test/conformance/${file})` };
}

/** Runs every test of a case; answers whether it passed, by the name of the test. */
async function runTests(): Promise<Map<string, boolean>> {
  const passed = new Map<string, boolean>();
  const files = (await caseFiles()).map((file) => FOLDER + file);
  const events = run({ files, concurrency: 2, timeout: 900_000 });
  for await (const { type, data } of events) {
    if ((type !== 'test:pass' && type !== 'test:fail') || !data.name.startsWith('case ')) continue;
    const isPassed = type === 'test:pass' && data.skip === undefined && data.todo === undefined;
    passed.set(data.name, isPassed);
    process.stdout.write(`${isPassed ? 'passes' : 'FAILS '}  ${data.name}\n`);
  }
  return passed;
}

function resultOf({ number, out, reduced }: Case, tests: readonly CaseTest[], passed: ReadonlyMap<string, boolean>): string {
  if (out !== undefined) return `out: ${out}`;
  const name = tests.find((test) => test.number === number)?.name ?? '';
  const result = passed.get(name) === true ? 'passes' : '**fails**';
  return reduced === undefined ? result : `${result}; reduced: ${reduced}`;
}

/** Today, and the commit that is run, with `-dirty` where files differ from it; an unpacked archive knows no commit. */
async function lastRunLine(): Promise<string> {
  const commit = await promisify(execFile)('git', ['describe', '--always', '--dirty', '--exclude=*'], { cwd: FOLDER }).then(
    ({ stdout }) => ` at commit ${stdout.trim()}`,
    () => '',
  );
  return `Last run on ${new Date().toISOString().slice(0, 10)}${commit}.`;
}

async function main(): Promise<void> {
  const lastRun = await lastRunLine();
  const tests = await caseTests();
  const passed = await runTests();
  const cases = GROUPS.flatMap((group) => group.cases);
  const results = new Map(cases.map((each) => [each.number, resultOf(each, tests, passed)]));
  const sections = GROUPS.map(({ title, cases: ofGroup }) => {
    const rows = ofGroup.map((each) => {
      const { number, text, file } = rowOf(each, tests);
      return `| ${number} | ${text} | ${results.get(number)} | ${file} |`;
    });
    return `## ${title}\n\n| number | case | result | test |\n| ---: | --- | --- | --- |\n${rows.join('\n')}\n`;
  });
  await writeFile(
    TABLE,
    `# Conformance

The numbered cases of the wire contract: what any OpenAI client may expect of files and batches. Each case is a test over
HTTP against real servers, with its number in its name (\`test/conformance/\`). This page is written by
\`npm run conformance\`. "Reduced" says where a test does less than its case, "out" why there is none.

${lastRun}

## Totals

| | |
| --- | ---: |
${totalsOf([...results.values()])
  .map(([what, number]) => `| ${what} | ${number} |`)
  .join('\n')}

${sections.join('\n')}`,
  );
  if ([...results.values()].some((result) => FAILS.test(result))) process.exitCode = 1;
}

if (import.meta.main) await main();

import { readFile, writeFile } from 'node:fs/promises';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Case, GROUPS } from './cases.ts';
import { type CaseTest, caseFiles, caseTests } from './coverage.ts';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const TABLE = fileURLToPath(new URL('../../docs/conformance.md', import.meta.url));

/** A row of docs/conformance.md as it is written there. */
export interface Row {
  number: number;
  text: string;
  result: string;
  file: string;
}

/** The rows of the table as it lies in `docs/`. */
export async function tableRows(): Promise<Row[]> {
  const lines = (await readFile(TABLE, 'utf8')).matchAll(/^\| (\d+) \| (.*) \| (.*) \| (.*) \|$/gm);
  return [...lines].map(([, number, text = '', result = '', file = '']) => ({ number: Number(number), text, result, file }));
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

async function main(): Promise<void> {
  const tests = await caseTests();
  const passed = await runTests();
  const cases = GROUPS.flatMap((group) => group.cases);
  const results = new Map(cases.map((each) => [each.number, resultOf(each, tests, passed)]));
  const count = (what: RegExp) => [...results.values()].filter((result) => what.test(result)).length;
  const failing = count(/^\*\*fails/);

  const sections = GROUPS.map(({ title, cases: ofGroup }) => {
    const rows = ofGroup.map((each) => {
      const { number, text, file } = rowOf(each, tests);
      return `| ${number} | ${text} | ${results.get(number)} | ${file} |`;
    });
    return `## ${title}\n\n| number | case | result | test |\n| ---: | --- | --- | --- |\n${rows.join('\n')}\n`;
  });
  const totals = [
    ['cases', cases.length],
    ['pass', count(/^passes/)],
    ['of them in a reduced form', count(/^passes; reduced/)],
    ['fail', failing],
    ['out', count(/^out/)],
  ];
  await writeFile(
    TABLE,
    `# Conformance

The numbered cases of the wire contract: what any OpenAI client may expect of files and batches. Each case is a test over
HTTP against real servers, with its number in its name (\`test/conformance/\`). This page is written by
\`npm run conformance\`; results are those of the day it was run. "Reduced" says where a test does less than its case,
"out" why there is none.

## Totals

| | |
| --- | ---: |
${totals.map(([what, number]) => `| ${what} | ${number} |`).join('\n')}

${sections.join('\n')}`,
  );
  if (failing > 0) process.exitCode = 1;
}

if (import.meta.main) await main();

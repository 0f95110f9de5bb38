import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
/** The test of the list itself, which holds no case. */
const OF_THE_LIST = 'list.test.ts';

/** A test that carries the number of a case. */
export interface CaseTest {
  number: number;
  name: string;
  /** Name of the file in this folder. */
  file: string;
}

/** Test files of this folder that hold cases. */
export async function caseFiles(): Promise<string[]> {
  return (await readdir(FOLDER)).filter((name) => name.endsWith('.test.ts') && name !== OF_THE_LIST).sort();
}

/** Every test of a case, as the sources name them. */
export async function caseTests(): Promise<CaseTest[]> {
  const found: CaseTest[] = [];
  for (const file of await caseFiles()) {
    const source = await readFile(FOLDER + file, 'utf8');
    for (const match of source.matchAll(/\bit\(\s*(['"`])(case (\d+): .*?)\1,/g))
      found.push({ number: Number(match[3]), name: match[2] ?? '', file });
  }
  return found;
}

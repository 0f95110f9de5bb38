import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ROOMS } from '../rooms.ts';

const ARCHITECTURE = fileURLToPath(new URL('../ARCHITECTURE.md', import.meta.url));
const BLOCK = /(?<=<!-- drawing: npm run drawing -->\n)[\s\S]*?(?=<!-- \/drawing -->)/;

/** The rooms as a mermaid drawing: a full line is an import, a dotted one an import of types only. */
export function drawing(): string {
  const arrows = Object.entries(ROOMS).flatMap(([name, { knows, types }]) => [
    ...knows.map((known) => `  ${name} --> ${known}`),
    ...types.map((seen) => `  ${name} -.-> ${seen}`),
  ]);
  return ['```mermaid', 'flowchart TD', ...arrows, '```', ''].join('\n');
}

/** ARCHITECTURE.md as it stands, and as it would stand with the drawing of today. */
export async function architecture(): Promise<{ found: string; current: string }> {
  const found = await readFile(ARCHITECTURE, 'utf8');
  if (!BLOCK.test(found)) throw new Error('ARCHITECTURE.md has no place for the drawing');
  return { found, current: found.replace(BLOCK, drawing) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(ARCHITECTURE, (await architecture()).current);
}

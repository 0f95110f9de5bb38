/** Longer names are compared by their beginnings, so that a comparison stays cheap. */
const COMPARED_LENGTH = 64;

/** The candidate that a misspelt name most likely stands for, upper and lower case being the same; null when none needs few enough changes. */
export function closestName(name: string, candidates: Iterable<string>): string | null {
  let best: string | null = null;
  const compared = name.slice(0, COMPARED_LENGTH).toLowerCase();
  let fewest = Math.ceil(compared.length / 3) + 1;
  for (const candidate of candidates) {
    const changes = editDistance(compared, candidate.slice(0, COMPARED_LENGTH).toLowerCase());
    if (changes < fewest) [best, fewest] = [candidate, changes];
  }
  return best;
}

/** How many characters must be added, removed or replaced to make one text of the other. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (const [index, character] of [...left].entries()) {
    const next = [index + 1];
    for (const [at, other] of [...right].entries()) {
      const replaced = (row[at] ?? 0) + (character === other ? 0 : 1);
      next.push(Math.min(replaced, (row[at + 1] ?? 0) + 1, (next[at] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

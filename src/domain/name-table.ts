/**
 * A lookup by names and by patterns in which `*` stands for any characters. An exact name goes before a pattern and a longer pattern
 * before a shorter one; of two entries of the same name the first counts. Answers null for a name that no entry matches.
 */
export function createNameTable<Value>(entries: Iterable<readonly [name: string, value: Value]>): (name: string) => Value | null {
  const exact = new Map<string, Value>();
  const patterns: { matches: (name: string) => boolean; length: number; value: Value }[] = [];
  for (const [name, value] of entries) {
    if (name.includes('*')) patterns.push({ matches: createGlob(name), length: name.length, value });
    else if (!exact.has(name)) exact.set(name, value);
  }
  patterns.sort((a, b) => b.length - a.length);
  return (name) => exact.get(name) ?? patterns.find(({ matches }) => matches(name))?.value ?? null;
}

/** Matches in time that grows with the name, whatever the pattern: a regular expression would try every way to place each `*`. */
function createGlob(pattern: string): (name: string) => boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop() ?? '';
  return (name) => {
    if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false;
    const end = name.length - last.length;
    let at = first.length;
    // The leftmost place of each piece leaves the most for those that follow.
    for (const piece of rest) {
      const found = name.indexOf(piece, at);
      if (found === -1 || found + piece.length > end) return false;
      at = found + piece.length;
    }
    return true;
  };
}

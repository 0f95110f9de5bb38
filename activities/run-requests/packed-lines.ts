import type { PlannedLine } from '../../src/domain/plan.ts';

/** The lines of a plan in a fifth of the memory that their objects take. */
export interface PackedLines {
  readonly bytes: number;
  /** The lines from `firstLine` to `lastLine`, both included. */
  between(firstLine: number, lastLine: number): PlannedLine[];
}

/** `lines` are in the order of their numbers. */
export function packLines(lines: readonly PlannedLine[]): PackedLines {
  const numbers = Uint32Array.from(lines, ({ line }) => line);
  const offsets = Float64Array.from(lines, ({ offset }) => offset);
  const lengths = Uint32Array.from(lines, ({ length }) => length);
  const upstreams = Uint16Array.from(lines, ({ upstream = 0 }) => upstream);

  return {
    bytes: numbers.byteLength + offsets.byteLength + lengths.byteLength + upstreams.byteLength,
    between(firstLine, lastLine) {
      const found: PlannedLine[] = [];
      let at = numbers.findIndex((line) => line >= firstLine);
      for (; at !== -1 && at < numbers.length && (numbers[at] ?? 0) <= lastLine; at++) {
        const upstream = upstreams[at] ?? 0;
        found.push({
          line: numbers[at] ?? 0,
          offset: offsets[at] ?? 0,
          length: lengths[at] ?? 0,
          ...(upstream > 0 ? { upstream } : {}),
        });
      }
      return found;
    },
  };
}

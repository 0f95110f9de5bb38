import { type PlannedLine, upstreamOf } from '../../src/domain/plan.ts';

/** The lines of a plan in a fraction of the memory that their objects take. */
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
  const upstreams = Uint16Array.from(lines, upstreamOf);
  const customIds = lines.map(({ customId }) => customId).join('');
  const idEnds = new Uint32Array(lines.length);
  for (let at = 0, end = 0; at < lines.length; at++) idEnds[at] = end += lines[at]?.customId.length ?? 0;

  return {
    bytes: numbers.byteLength + offsets.byteLength + lengths.byteLength + upstreams.byteLength + idEnds.byteLength + stringBytes(customIds),
    between(firstLine, lastLine) {
      const found: PlannedLine[] = [];
      let at = numbers.findIndex((line) => line >= firstLine);
      for (; at !== -1 && at < numbers.length && (numbers[at] ?? 0) <= lastLine; at++) {
        const upstream = upstreams[at] ?? 0;
        found.push({
          line: numbers[at] ?? 0,
          offset: offsets[at] ?? 0,
          length: lengths[at] ?? 0,
          customId: customIds.slice(idEnds[at - 1] ?? 0, idEnds[at]),
          ...(upstream > 0 ? { upstream } : {}),
        });
      }
      return found;
    },
  };
}

/** V8 stores a character in one byte while none needs two. */
function stringBytes(text: string): number {
  return /[^\0-\xff]/.test(text) ? 2 * text.length : text.length;
}

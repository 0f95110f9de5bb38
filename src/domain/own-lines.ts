import { type LineRange, lineRanges, linesIn } from './line-ranges.ts';

/**
 * The lines of a shard that go to one upstream, which may have those of others between them. A range of own lines begins and ends with
 * one of them, and means all own lines from its first to its last.
 */
export interface OwnLines {
  /** All of them. */
  readonly whole: LineRange;
  /** How many there are in a range. */
  count(range: Readonly<LineRange>): number;
  /** The first so many of a range, and the rest; null where nothing is left. */
  cut(range: Readonly<LineRange>, count: number): [first: LineRange, rest: LineRange | null];
  /** The own lines in ranges of any lines, ascending. */
  in(ranges: Iterable<Readonly<LineRange>>): number[];
  /** The fewest ranges that hold exactly these own lines, which are ascending. */
  ranges(lines: readonly number[]): LineRange[];
}

/** Every line of a range, as in a shard for one upstream. Blank lines count as lines. */
export function allLines(whole: LineRange): OwnLines {
  return {
    whole,
    count: ([first, last]) => last - first + 1,
    cut([first, last], count) {
      const end = first + count - 1;
      return end >= last
        ? [[first, last], null]
        : [
            [first, end],
            [end + 1, last],
          ];
    },
    in: (ranges) => [...linesIn(ranges)],
    ranges: lineRanges,
  };
}

/** The lines given, which are ascending and at least one. */
export function listedLines(lines: readonly number[]): OwnLines {
  const places = new Map(lines.map((line, place) => [line, place]));
  const placeOf = (line: number) => places.get(line) ?? 0;
  const lineAt = (place: number) => lines[place] ?? 0;
  return {
    whole: [lineAt(0), lineAt(lines.length - 1)],
    count: ([first, last]) => placeOf(last) - placeOf(first) + 1,
    cut([first, last], count) {
      const end = placeOf(first) + count - 1;
      return end >= placeOf(last)
        ? [[first, last], null]
        : [
            [first, lineAt(end)],
            [lineAt(end + 1), last],
          ];
    },
    in: (ranges) => [...linesIn(ranges)].filter((line) => places.has(line)),
    ranges: (own) => lineRanges(own.map(placeOf)).map(([first, last]) => [lineAt(first), lineAt(last)]),
  };
}

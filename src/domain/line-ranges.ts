/** Lines from the first to the last, both inclusive. Lists of ranges are ascending and do not touch each other. */
export type LineRange = [first: number, last: number];

/** The ranges that hold exactly the lines given, which are ascending. */
export function lineRanges(ascendingLines: Iterable<number>): LineRange[] {
  const ranges: LineRange[] = [];
  let open: LineRange | null = null;
  for (const line of ascendingLines) {
    if (open !== null && line <= open[1] + 1) open[1] = Math.max(open[1], line);
    else ranges.push((open = [line, line]));
  }
  return ranges;
}

/** Every line of the ranges, in order. */
export function* linesIn(ranges: Iterable<Readonly<LineRange>>): Generator<number> {
  for (const [first, last] of ranges) {
    for (let line = first; line <= last; line++) yield line;
  }
}

/** Whether a line lies in one of the ranges. */
export function containsLine(ranges: readonly Readonly<LineRange>[], line: number): boolean {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle];
    if (range === undefined) return false;
    if (line < range[0]) high = middle - 1;
    else if (line > range[1]) low = middle + 1;
    else return true;
  }
  return false;
}

/** A stretch of a content file. */
export interface Extent {
  file: string;
  start: number;
  bytes: number;
}

/** The extents of bytes `start` to `end`, both inclusive, of a content. */
export function cutExtents(extents: readonly Extent[], { start, end }: { start: number; end: number }): Extent[] {
  const found: Extent[] = [];
  let at = 0;
  for (const extent of extents) {
    const skipped = Math.max(0, start - at);
    const bytes = Math.min(extent.bytes, end + 1 - at) - skipped;
    if (bytes > 0) found.push({ file: extent.file, start: extent.start + skipped, bytes });
    at += extent.bytes;
  }
  return found;
}

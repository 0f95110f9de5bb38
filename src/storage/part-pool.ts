/** Bounded part buffers shared by all uploads of a process. */
export interface PartPool {
  readonly partBytes: number;
}

/** A pool of `parts` buffers of 8 MiB. */
export function createPartPool(parts: number): PartPool {
  void parts;
  throw new Error('not written yet');
}

/** The metadata key by which a client says how urgent a batch is. */
export const PRIORITY_KEY = 'nightshift_priority';
/** 1 goes first; 3 is what a batch has that says nothing. */
export const PRIORITIES = ['1', '2', '3', '4', '5'] as const;
const DEFAULT_PRIORITY = 3;
/** A batch with less time left than this goes before all that have more. */
const URGENT_MS = 3_600_000;

/** The priority of a batch, 1 to 5, by its metadata. */
export function batchPriority(metadata: Record<string, string> | null): number {
  const index = PRIORITIES.findIndex((priority) => priority === metadata?.[PRIORITY_KEY]);
  return index === -1 ? DEFAULT_PRIORITY : index + 1;
}

/** Whether the end of its window is so near that a batch goes first. */
export function isUrgent(leftMs: number): boolean {
  return leftMs < URGENT_MS;
}

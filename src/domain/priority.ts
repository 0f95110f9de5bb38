/** The metadata key by which a client says how urgent a batch is. */
export const PRIORITY_KEY = 'nightshift_priority';
/** 1 is most urgent. */
export const PRIORITIES = ['1', '2', '3', '4', '5'] as const;
/** What a batch has that asks for none, and the best that a tenant may ask for unless the operator allows it more. */
export const DEFAULT_PRIORITY = 3;
/** A batch with less time left than this goes before all that have more, unless its window is short. */
const URGENT_MS = 3_600_000;
/** The part of a short window in which its batch goes first. */
const URGENT_PART = 1 / 10;

/** The priorities that a tenant may ask for, as clients write them. */
export function allowedPriorities(best: number): readonly string[] {
  return PRIORITIES.filter((priority) => Number(priority) >= best);
}

/** The priority of a batch, 1 to 5: what its metadata asks for, as far as its tenant may ask for it. */
export function batchPriority(metadata: Record<string, string> | null, best: number): number {
  const index = PRIORITIES.findIndex((priority) => priority === metadata?.[PRIORITY_KEY]);
  return Math.max(best, index === -1 ? DEFAULT_PRIORITY : index + 1);
}

/** From when on a batch goes before all that are not as near to their end: for the last hour of its window, or its last tenth if that is shorter. */
export function urgentFromMs({ createdAtMs, expiresAtMs }: { createdAtMs: number; expiresAtMs: number }): number {
  return expiresAtMs - Math.min(URGENT_MS, Math.max(0, expiresAtMs - createdAtMs) * URGENT_PART);
}

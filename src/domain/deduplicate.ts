/** The metadata key by which a client asks for equal requests to be sent once. */
export const DEDUPLICATE_KEY = 'nightshift_deduplicate';
export const DEDUPLICATE_VALUES = ['true', 'false'] as const;

export function deduplicates(metadata: Record<string, string> | null): boolean {
  return metadata?.[DEDUPLICATE_KEY] === 'true';
}

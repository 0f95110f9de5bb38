/** What workers tell of an upstream, so that the API knows where a model goes and how fast it is answered. */
export interface UpstreamFacts {
  name: string;
  /** Its number in the configuration. Of two upstreams that name the same model the first one has it. */
  place: number;
  /** Names and patterns of the models it serves, aliases included; null serves every model. */
  models: readonly string[] | null;
  /** What a model is called there, by names and patterns of what clients call it. */
  aliases: Readonly<Record<string, string>>;
  /** What its servers list; null where the lists do not tell. */
  listed: readonly string[] | null;
  /** The operator's limit for all workers together; null for none. */
  requestsPerMinute: number | null;
  /** Answers per second that all workers together can get; null while none has got one. */
  answersPerSecond: number | null;
}

/** Requests per second that an upstream takes; null where nothing is known. */
export function paceOf({
  requestsPerMinute,
  answersPerSecond,
}: Pick<UpstreamFacts, 'requestsPerMinute' | 'answersPerSecond'>): number | null {
  const known = [requestsPerMinute === null ? null : requestsPerMinute / 60, answersPerSecond].filter((each) => each !== null);
  return known.length === 0 ? null : Math.min(...known);
}

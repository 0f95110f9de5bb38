import type { UpstreamFacts } from '../../src/domain/upstream-facts.ts';

/** An upstream that serves every model, as a worker tells it. */
export function anUpstream(name: string, given: Partial<UpstreamFacts> = {}): UpstreamFacts {
  const unknown = { models: null, aliases: {}, listed: null, requestsPerMinute: null, answersPerSecond: null };
  return { name, place: 0, ...unknown, ...given };
}

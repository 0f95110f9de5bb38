/** Which upstreams operators have paused, as the bucket holds it. Times are Unix seconds. */
export interface UpstreamPauses {
  /** Since when everything is paused; null while it is not. */
  all: number | null;
  /** By name of the upstream: since when. */
  upstreams: Readonly<Record<string, number>>;
}

/** Why an upstream is paused. */
export interface UpstreamPause {
  what: 'upstream' | 'everything';
  /** Unix seconds. */
  since: number;
}

export const NOTHING_PAUSED: UpstreamPauses = { all: null, upstreams: {} };

/** What holds requests to an upstream back; null where nothing does. */
export function pauseOf({ all, upstreams }: UpstreamPauses, name: string): UpstreamPause | null {
  if (all !== null) return { what: 'everything', since: all };
  const since = Object.hasOwn(upstreams, name) ? upstreams[name] : undefined;
  return since === undefined ? null : { what: 'upstream', since };
}

/** Everything, or one upstream, paused since now; null where that is so already. */
export function withPause(found: UpstreamPauses, name: string | null, nowSeconds: number): UpstreamPauses | null {
  if (name === null) return found.all === null ? { ...found, all: nowSeconds } : null;
  return Object.hasOwn(found.upstreams, name) ? null : { ...found, upstreams: { ...found.upstreams, [name]: nowSeconds } };
}

/** The pause of everything, or that of one upstream, taken away; null where there is none. */
export function withoutPauseOf(found: UpstreamPauses, name: string | null): UpstreamPauses | null {
  if (name === null) return found.all === null ? null : { ...found, all: null };
  if (!Object.hasOwn(found.upstreams, name)) return null;
  return { ...found, upstreams: Object.fromEntries(Object.entries(found.upstreams).filter(([each]) => each !== name)) };
}

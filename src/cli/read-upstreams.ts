import { ApiFault } from './api-fault.ts';
import type { UpstreamView } from '../domain/upstream-view.ts';

/** What `GET /v1/nightshift/upstreams` answers. */
export interface UpstreamsAnswer {
  /** Since when everything is paused, in Unix seconds; null while it is not. */
  paused_at: number | null;
  data: UpstreamView[];
}

/** The upstreams as the API answers them. */
export function readUpstreams(value: unknown): UpstreamsAnswer {
  const given: Partial<UpstreamsAnswer> = Object(value);
  if (!Array.isArray(given.data)) {
    throw new ApiFault('The API answered with something that is no list of upstreams. Only Nightshift has this call.', {
      isTransient: false,
    });
  }
  return { ...given, paused_at: given.paused_at ?? null, data: given.data };
}

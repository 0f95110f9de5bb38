import type { Load } from '../../examples/upstream/load.ts';

/** What the example upstream saw since it was last told to forget. */
export async function readLoad(url: string): Promise<Load> {
  return Object(await (await fetch(`${url}/__load`)).json());
}

export async function forgetLoad(url: string): Promise<void> {
  await (await fetch(`${url}/__reset`, { method: 'POST' })).text();
}

/** How full the upstream was kept while lines remained: from its first request until the last one had arrived. */
export interface UpstreamUse {
  seconds: number;
  meanInFlight: number;
  /** Of the time that answers were to take, as drawn for the requests that came. */
  meanAnswerMs: number;
  perSecond: number;
  /** `perSecond` as a share of places ÷ mean answer time, which nobody can exceed for long: those in flight, or those the upstream has. */
  shareOfIdeal: number;
}

export function upstreamUse(load: Load, places: number): UpstreamUse {
  const seconds = ((load.lastArrivalMs ?? 0) - (load.firstArrivalMs ?? 0)) / 1000;
  const meanAnswerMs = load.drawnMs / load.arrived;
  const perSecond = load.endedByLastArrival / seconds;
  return {
    seconds,
    meanInFlight: load.inFlightMs / 1000 / seconds,
    meanAnswerMs,
    perSecond,
    shareOfIdeal: perSecond / (places / (meanAnswerMs / 1000)),
  };
}

import type { TenantSettingsOf } from '../../domain/tenant.ts';
import { pauseOf, type UpstreamPauses, withoutPauseOf, withPause } from '../../domain/upstream-pauses.ts';
import type { ModelStore } from '../../storage/model-store.ts';
import type { PauseStore } from '../../storage/pause-store.ts';
import { pathParam, type Route, type RouteContext, sendJson } from '../context.ts';
import { upstreamNotFound } from '../errors/operator-errors.ts';
import { assertOperator } from '../operator.ts';

interface Deps {
  pauses: PauseStore;
  models: Pick<ModelStore, 'upstreams'>;
  settingsOf: TenantSettingsOf;
  nowMs: () => number;
}

/** `POST /v1/nightshift/pause` and `/resume`: for operators, all upstreams at once. May be repeated. */
export function steerEverything(deps: Deps, to: 'pause' | 'resume'): Route {
  return async (ctx) => {
    assertOperator(ctx, deps.settingsOf);
    const { all } = await deps.pauses.update(changeOf(to, null, deps.nowMs()));
    sendJson(ctx, { object: 'nightshift.pause', upstream: null, paused_at: all, paused: all === null ? null : 'everything' });
  };
}

/** `POST /v1/nightshift/upstreams/{id}/pause` and `/resume`: for operators, one upstream. Throws the 404 for one that no worker has told of. */
export function steerUpstream(deps: Deps, to: 'pause' | 'resume'): Route {
  return async (ctx) => {
    assertOperator(ctx, deps.settingsOf);
    const name = await upstreamOf(ctx, deps);
    const pause = pauseOf(await deps.pauses.update(changeOf(to, name, deps.nowMs())), name);
    sendJson(ctx, { object: 'nightshift.pause', upstream: name, paused_at: pause?.since ?? null, paused: pause?.what ?? null });
  };
}

function changeOf(to: 'pause' | 'resume', name: string | null, nowMs: number): (found: UpstreamPauses) => UpstreamPauses | null {
  return (found) => (to === 'pause' ? withPause(found, name, Math.floor(nowMs / 1000)) : withoutPauseOf(found, name));
}

async function upstreamOf(ctx: RouteContext, { pauses, models }: Deps): Promise<string> {
  const name = pathParam(ctx, 'id');
  const known = (await models.upstreams()).map(({ name: each }) => each);
  // One that is paused can be resumed, also when no worker has it any more.
  if (known.includes(name) || Object.hasOwn((await pauses.read()).upstreams, name)) return name;
  throw upstreamNotFound(name, known);
}

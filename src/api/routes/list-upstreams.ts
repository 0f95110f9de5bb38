import type { TenantSettingsOf } from '../../domain/tenant.ts';
import { type Route, sendJson } from '../context.ts';
import { assertOperator } from '../operator.ts';
import type { createUpstreamOverview } from '../upstream-overview.ts';

/** `GET /v1/nightshift/upstreams`: for operators, all upstreams with their servers, what holds requests back, and the last hour. */
export function listUpstreams(deps: { overview: ReturnType<typeof createUpstreamOverview>; settingsOf: TenantSettingsOf }): Route {
  return async (ctx) => {
    assertOperator(ctx, deps.settingsOf);
    const { paused_at, upstreams } = await deps.overview();
    sendJson(ctx, { object: 'list', paused_at, data: upstreams });
  };
}

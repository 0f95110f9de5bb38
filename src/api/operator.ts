import type { TenantSettingsOf } from '../domain/tenant.ts';
import { type RouteContext, tenantOf } from './context.ts';
import { operatorsOnly } from './errors/operator-errors.ts';

/** Throws the 403 for the key of a tenant that is not an operator. */
export function assertOperator(ctx: RouteContext, settingsOf: TenantSettingsOf): void {
  const tenant = tenantOf(ctx);
  if (!settingsOf(tenant).isOperator) throw operatorsOnly(tenant);
}

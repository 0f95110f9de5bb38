import type { TenantLimits } from './limits.ts';
import { DEFAULT_PRIORITY } from './priority.ts';

/** What an operator sets for one tenant. */
export interface TenantSettings {
  limits: TenantLimits;
  /** How much of full queues it gets, beside the 1 of tenants without a setting. */
  weight: number;
  /** The most urgent priority that it may ask for: 1, the most urgent of all, to 5. */
  bestPriority: number;
  /** Whether its keys are those of operators. They see all tenants. */
  isOperator: boolean;
  /** Where its result files are copied, and where it may keep inputs; null for nowhere. */
  bucket: TenantBucket | null;
}

/** A bucket of a tenant's own. */
export interface TenantBucket {
  endpoint: string;
  region: string;
  bucket: string;
  /** What every key begins with: empty, or it ends in a slash. */
  prefix: string;
  /** Both or none; none stands for the role of the process. */
  accessKeyFile: string | null;
  secretKeyFile: string | null;
}

/** What the name of a tenant looks like, to be put into a regular expression. */
export const TENANT_NAME = '[A-Za-z0-9_-]{1,64}';

/** Whether a tenant can have this name. */
export function isTenantName(name: string): boolean {
  return new RegExp(`^${TENANT_NAME}$`).test(name);
}

/** The tenant of all requests while no key is configured. */
export const ONLY_TENANT = 'default';

/** The settings of a tenant about which the operator says nothing. */
export const DEFAULT_TENANT: TenantSettings = {
  limits: { requestsPerMinute: null, batchesPerHour: null, maxOpenBatches: null, maxStoredBytes: null },
  weight: 1,
  bestPriority: DEFAULT_PRIORITY,
  isOperator: false,
  bucket: null,
};

/** The settings of a tenant that are in force now. */
export type TenantSettingsOf = (tenant: string) => TenantSettings;

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type ApiKey, readApiKeys } from './api-keys.ts';
import { isSet } from './environment.ts';
import { cannotRead } from './secret-files.ts';
import { PREFIX, readPriority, readWeight, type Settings } from './settings.ts';
import { parseTenants, type Tenants } from './tenants-file.ts';
import type { TenantLimits } from '../domain/limits.ts';
import { DEFAULT_TENANT, ONLY_TENANT, type TenantSettingsOf } from '../domain/tenant.ts';

/** The variables that a file of tenants replaces. */
const REPLACED = ['API_KEYS', 'API_KEYS_FILE', 'TENANT_WEIGHTS', 'TENANT_PRIORITIES', 'OPERATOR_TENANTS'] as const;

/** What a process is told of its tenants when it starts. */
export interface TenantConfig {
  /** The file that is read again while the process runs; null when variables say everything. */
  file: string | null;
  /** Limits of every tenant that has none of its own. */
  defaults: TenantLimits;
  tenants: Tenants;
}

/** Reads the tenants out of their file, or out of the variables that make do without one. */
export function readTenants(
  { settings, env }: { settings: Settings; env: NodeJS.ProcessEnv },
  faults: string[],
  warnings: string[],
): TenantConfig {
  const defaults: TenantLimits = {
    requestsPerMinute: settings.TENANT_REQUESTS_PER_MINUTE ?? null,
    batchesPerHour: settings.TENANT_BATCHES_PER_HOUR ?? null,
    maxOpenBatches: settings.TENANT_MAX_OPEN_BATCHES ?? null,
    maxStoredBytes: settings.TENANT_MAX_STORED_BYTES ?? null,
  };
  if (settings.TENANTS_FILE === undefined) {
    const keys = readApiKeys(settings.API_KEYS, faults, warnings);
    return { file: null, defaults, tenants: { settings: settingsOfVariables(settings, defaults, keys), keys } };
  }
  for (const name of REPLACED) {
    if (isSet(env, name)) faults.push(`${PREFIX}${name} has no effect beside NIGHTSHIFT_TENANTS_FILE: remove one of the two`);
  }
  const file = resolve(settings.TENANTS_FILE);
  return { file, defaults, tenants: readTenantsFile(file, defaults, faults) };
}

/** The tenants that are named, or else the only one that there is: it sees and steers nothing of others. */
function operatorsOf({ API_KEYS, OPERATOR_TENANTS }: Settings, keys: readonly ApiKey[]): ReadonlySet<string> {
  if (API_KEYS === undefined) return new Set([ONLY_TENANT]);
  const tenants = new Set(OPERATOR_TENANTS.length > 0 ? OPERATOR_TENANTS : keys.map(({ tenant }) => tenant));
  return OPERATOR_TENANTS.length > 0 || tenants.size === 1 ? tenants : new Set();
}

function settingsOfVariables(settings: Settings, limits: TenantLimits, keys: readonly ApiKey[]): Tenants['settings'] {
  const weights = new Map(settings.TENANT_WEIGHTS.map(readWeight).filter((item) => item !== null));
  const priorities = new Map(settings.TENANT_PRIORITIES.map(readPriority).filter((item) => item !== null));
  const operators = operatorsOf(settings, keys);
  const { weight, bestPriority } = DEFAULT_TENANT;
  const own = [...new Set([...weights.keys(), ...priorities.keys(), ...operators])].map((tenant) => [
    tenant,
    {
      limits,
      weight: weights.get(tenant) ?? weight,
      bestPriority: priorities.get(tenant) ?? bestPriority,
      isOperator: operators.has(tenant),
      bucket: null,
    },
  ]);
  return Object.fromEntries(own);
}

function readTenantsFile(file: string, defaults: TenantLimits, faults: string[]): Tenants {
  try {
    const found: string[] = [];
    const tenants = parseTenants(readFileSync(file, 'utf8'), defaults, found);
    faults.push(...found.map((fault) => `NIGHTSHIFT_TENANTS_FILE: ${fault}`));
    return tenants;
  } catch (error) {
    faults.push(`NIGHTSHIFT_TENANTS_FILE: ${cannotRead(file, error)}`);
    return { settings: {}, keys: [] };
  }
}

/** Answers the settings of any tenant; `tenants` may answer others later. */
export function createTenantSettings(defaults: TenantLimits, tenants: () => Tenants): TenantSettingsOf {
  return (tenant) => {
    const { settings } = tenants();
    const own = Object.hasOwn(settings, tenant) ? settings[tenant] : undefined;
    return own ?? { ...DEFAULT_TENANT, limits: defaults };
  };
}

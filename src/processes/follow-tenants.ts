import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import type { TenantSettingsOf } from '../domain/tenant.ts';
import type { Logger } from '../telemetry/logger.ts';
import { createTenantSettings } from '../config/tenant-settings.ts';
import { parseTenants, type Tenants } from '../config/tenants-file.ts';

const LOOK_EVERY_MS = 1_000;

/** The tenants that are in force now. */
export interface LiveTenants {
  current(): Tenants;
  settingsOf: TenantSettingsOf;
}

/**
 * Reads the file of tenants every second until `signal` aborts. New content takes effect once two readings in a row found it, so that
 * a file that is being written is not taken for a whole one. A file with a fault changes nothing: the tenants before stay in force.
 */
export function followTenants(
  { tenants, secrets }: Pick<Config, 'tenants' | 'secrets'>,
  { signal, logger, lookEveryMs = LOOK_EVERY_MS }: { signal: AbortSignal; logger: Pick<Logger, 'info' | 'error'>; lookEveryMs?: number },
): LiveTenants {
  const { file, defaults } = tenants;
  let current: Tenants = { settings: tenants.settings, keys: secrets.apiKeys ?? [] };
  const live: LiveTenants = { current: () => current, settingsOf: createTenantSettings(defaults, () => current) };
  if (file !== null) void follow(file);
  return live;

  async function follow(path: string): Promise<void> {
    let [inForce, lastRead, refused]: (string | null)[] = [null, null, null];
    while (!signal.aborted) {
      const read = await readFile(path, 'utf8').catch(
        (error: unknown) => new Error(error instanceof Error ? error.message : String(error)),
      );
      const text = read instanceof Error ? read.message : read;
      if (text === lastRead && text !== inForce && text !== refused) {
        const faults = read instanceof Error ? [`cannot be read: ${read.message}`] : take(text);
        if (faults.length > 0) {
          refused = text;
          logger.error({ file: path, faults }, 'the tenants file is refused, and the tenants before it stay in force: correct the file');
        } else {
          [inForce, refused] = [text, null];
        }
      }
      lastRead = text;
      await delay(lookEveryMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Puts new tenants in force and answers no faults, or answers the faults. */
  function take(text: string): string[] {
    const faults: string[] = [];
    const next = parseTenants(text, defaults, faults);
    if (faults.length > 0) return faults;
    if (JSON.stringify(next) !== JSON.stringify(current)) {
      current = next;
      logger.info({ tenants: Object.keys(next.settings).length, keys: next.keys.length }, 'the tenants file has changed and is in force');
    }
    return [];
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import type { Logger } from '../telemetry/logger.ts';
import { checkServerLimits } from '../temporal/check-server-limits.ts';
import { requestsTaskQueue } from '../../workflows/contract.ts';
import { temporalAddress } from './temporal-address.ts';

/**
 * Logs what the dynamic configuration of Temporal lacks, `afterMs` from now, unless `signal` comes first. The check sends Temporal some 150
 * requests, which workers that start should not add to the work that waits for them. Never rejects.
 */
export async function warnOfLimits(
  config: Pick<Config, 'temporal' | 'secrets' | 'upstreams'>,
  { afterMs, nonce, signal, logger }: { afterMs: number; nonce: string; signal: AbortSignal; logger: Pick<Logger, 'info' | 'warn'> },
): Promise<void> {
  try {
    await delay(afterMs, undefined, { signal, ref: false });
    const taskQueues = config.upstreams.map(({ name }) => requestsTaskQueue(name));
    for (const fault of (await checkServerLimits(temporalAddress(config), { nonce, taskQueues })) ?? [])
      logger.warn(`${fault} See docs/operations.md, section "Your own Temporal".`);
  } catch (err) {
    if (!signal.aborted) logger.info({ err }, 'the dynamic configuration of Temporal could not be checked');
  }
}

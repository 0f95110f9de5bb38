import { askModels, describeModels } from './local/own-upstream.ts';
import { describeStore, openStore } from './open-store.ts';
import { temporalAddress } from './temporal-address.ts';
import type { Check } from '../cli/command.ts';
import { type Config, loadConfig } from '../config/config.ts';
import { environment } from '../config/environment.ts';
import { connectTemporal } from '../temporal/connection.ts';
import { withoutCredentials } from '../config/wire-values.ts';

const PATIENCE_MS = 5_000;

/** Looks from this machine at everything that the settings of a worker name. Changes nothing. Throws `ConfigError`. */
export async function checkServer(): Promise<Check[]> {
  const config = loadConfig(environment(), 'worker');
  return await Promise.all([checkStore(config), checkTemporal(config), ...checkUpstreams(config)]);
}

async function checkStore(config: Config): Promise<Check> {
  const store = openStore(config, { answerMs: PATIENCE_MS });
  const where = describeStore(config.store);
  try {
    await store.ping();
    return { isGood: true, sentence: `This machine reaches ${where}.` };
  } catch (error) {
    const advice =
      config.store.kind === 'embedded'
        ? 'The first start of the service makes it: check NIGHTSHIFT_STORE_DIR'
        : 'Check NIGHTSHIFT_S3_ENDPOINT and the keys';
    return { isGood: false, sentence: `This machine does not reach ${where}: ${reasonOf(error)}. ${advice}.` };
  } finally {
    store.close();
  }
}

async function checkTemporal(config: Config): Promise<Check> {
  const { temporal } = config;
  const { connection } = connectTemporal(temporalAddress(config));
  const namespace = `the namespace ${temporal.namespace} of Temporal at ${temporal.address}`;
  try {
    const ask = async () => await connection.workflowService.describeNamespace({ namespace: temporal.namespace });
    await connection.withDeadline(Date.now() + PATIENCE_MS, ask);
    return { isGood: true, sentence: `This machine reaches ${namespace}.` };
  } catch (error) {
    return { isGood: false, sentence: `This machine does not reach ${namespace}: ${reasonOf(error)}. Check NIGHTSHIFT_TEMPORAL_ADDRESS.` };
  } finally {
    await connection.close().catch(() => undefined);
  }
}

function checkUpstreams({ upstreams, secrets }: Config): Promise<Check>[] {
  return upstreams.flatMap(({ name, baseUrls, models }) =>
    baseUrls.map(async (baseUrl) => {
      const found = await askModels(baseUrl, secrets.upstreams[name]);
      const named = models === null ? '' : ` The settings give it the models ${models.join(', ')}.`;
      return {
        isGood: found.fault === null,
        sentence: `Upstream ${name} at ${withoutCredentials(baseUrl)} ${describeModels(found)}.${named}`,
      };
    }),
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? error.cause : error;
  return (cause.message || error.message).split('\n')[0]?.replace(/\.$/, '') ?? '';
}

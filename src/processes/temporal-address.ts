import type { Config } from '../config/config.ts';
import type { TemporalAddress } from '../temporal/connection.ts';

/** Where Temporal is and how to get in, the secrets of a configuration included. */
export function temporalAddress({ temporal, secrets }: Pick<Config, 'temporal' | 'secrets'>): TemporalAddress {
  return { ...temporal, apiKey: secrets.temporalApiKey, ...secrets.temporalTls };
}

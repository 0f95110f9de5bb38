import { resolve } from 'node:path';
import { isSet } from './environment.ts';
import { PREFIX, type Settings } from './settings.ts';
import { readWays } from './upstream-ways.ts';
import { readUpstreamsFile, type UpstreamConfig, type UpstreamsFile } from './upstreams-file.ts';

/** The variables that a file of upstreams replaces. */
const SINGLE_UPSTREAM = [
  'UPSTREAM_URL',
  'UPSTREAM_API_KEY',
  'UPSTREAM_MAX_IN_FLIGHT',
  'UPSTREAM_LIMITER',
  'UPSTREAM_REQUESTS_PER_MINUTE',
  'UPSTREAM_TOKENS_PER_MINUTE',
  'UPSTREAM_REQUEST_TIMEOUT_SECONDS',
  'UPSTREAM_CHECK_MODELS',
] as const;

/** The upstream of the variables, or those of the file. */
export function readUpstreams(settings: Settings, env: NodeJS.ProcessEnv, faults: string[]): UpstreamsFile {
  if (settings.UPSTREAMS_FILE !== undefined) {
    for (const name of SINGLE_UPSTREAM) {
      if (isSet(env, name)) faults.push(`${PREFIX}${name} has no effect beside NIGHTSHIFT_UPSTREAMS_FILE: set one of the two`);
    }
    return readUpstreamsFile(resolve(settings.UPSTREAMS_FILE), env, faults);
  }
  const url = isSet(env, 'UPSTREAM_URL') ? settings.UPSTREAM_URL : exampleUrl(settings);
  const upstream: UpstreamConfig = {
    name: 'default',
    baseUrls: [url],
    models: null,
    aliases: {},
    add: {},
    active: null,
    maxInFlightByHour: {},
    checkModels: settings.UPSTREAM_CHECK_MODELS,
    maxInFlight: settings.UPSTREAM_MAX_IN_FLIGHT,
    limiter: settings.UPSTREAM_LIMITER,
    requestsPerMinute: settings.UPSTREAM_REQUESTS_PER_MINUTE ?? null,
    tokensPerMinute: settings.UPSTREAM_TOKENS_PER_MINUTE ?? null,
    requestTimeoutMs: settings.UPSTREAM_REQUEST_TIMEOUT_SECONDS * 1000,
    maxResponseBytes: 67_108_864,
    maxFaults: 5,
    maxRefusals: null,
    oneModelAtATime: false,
    unavailableMaxMs: null,
  };
  const ways = readWays([url], { given: {}, start: '' }, env, faults);
  return { upstreams: [upstream], credentials: { default: { apiKey: settings.UPSTREAM_API_KEY ?? null, headers: {}, ways } } };
}

/** Where the example upstream of `nightshift local` listens. */
export function exampleUrl(settings: Settings): string {
  return `http://127.0.0.1:${settings.EXAMPLE_UPSTREAM_PORT}/v1`;
}

import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { hoursFault } from '../domain/hours.ts';
import { firstLine } from './config-error.ts';
import { placeInList } from './place-in-list.ts';
import { readSecretFile } from './secret-files.ts';
import { readWays } from './upstream-ways.ts';
import type { Way } from '../upstream/client/open-connection.ts';
import { CONNECTION_HEADERS, isHeaderValue, isHttpUrl, isSecret, NAMES_ENDPOINT, namesEndpoint } from './wire-values.ts';

/** One upstream as configured, credentials apart (`UpstreamCredentials`). */
export interface UpstreamConfig {
  /** Part of its task queue's name. */
  name: string;
  /** One or more base URLs of the same service, as an SDK takes them (`parseBaseUrl`). */
  baseUrls: string[];
  /** Models it serves, by all names that clients use; null serves every model. */
  models: string[] | null;
  /** What a model is called there, by names and patterns of what clients call it. */
  aliases: Record<string, string>;
  /** Members that a request gets if it has none of their name. */
  add: Record<string, unknown>;
  /** Hours in which it gets requests, as `parseHours` reads them; null for always. */
  active: string[] | null;
  /** Most requests in flight by hours, as `parseHourlyLimits` reads them. */
  maxInFlightByHour: Record<string, number>;
  /** Whether validation refuses models that its servers do not list. */
  checkModels: boolean;
  /** Requests in flight from one worker process, at most. */
  maxInFlight: number;
  /** Whether the number in flight follows what the upstream can use, or is always the most. */
  limiter: 'adaptive' | 'fixed';
  /** Requests per minute from all workers together; null for no limit. */
  requestsPerMinute: number | null;
  /** Tokens per minute from one worker process; null for no limit but what the upstream tells. */
  tokensPerMinute: number | null;
  requestTimeoutMs: number;
  maxResponseBytes: number;
  /** Failures that end a request; a timeout counts for more than one. */
  maxFaults: number;
  /** Refusals that end a request; null when only its window does. */
  maxRefusals: number | null;
  /** How long requests wait for an upstream that is away; null waits until the window ends. */
  unavailableMaxMs: number | null;
  /** Whether each server serves one model until nothing more of it waits. */
  oneModelAtATime: boolean;
}

/** What is sent to an upstream and must never be shown. */
export interface UpstreamCredentials {
  apiKey: string | null;
  headers: Record<string, string>;
  /** How connections are made, by base URL; proxies may have passwords. */
  ways: Record<string, Way>;
}

const wholeNumber = (least: number, most: number) => z.int().min(least).max(most);

const baseUrl = z
  .string()
  .refine(isHttpUrl, 'must be an http(s) URL')
  .refine((text) => !namesEndpoint(text), NAMES_ENDPOINT);
const key = z.string().trim().refine(isSecret, 'must be printable ASCII without spaces');
const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'must be a header name')
  .refine((name) => !CONNECTION_HEADERS.has(name.toLowerCase()), 'belongs to the connection and cannot be set');

const modelName = z.string().min(1);
const aliases = z.record(
  modelName,
  modelName.refine((name) => !name.includes('*'), 'must be the name of one model, without *'),
);
const additions = z
  .record(z.string().regex(/^[A-Za-z_][\w.-]*$/, 'must be the name of a member'), z.json())
  .refine(({ stream, background }) => !stream && !background, 'must not have stream or background: batches cannot read such answers');

const hours = z.string('must be hours').superRefine((text, context) => {
  const message = hoursFault(text);
  if (message !== null) context.addIssue({ code: 'custom', message });
});

const upstreamSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'must be 1 to 64 of a-z, 0-9 and hyphen'),
    base_urls: z.array(baseUrl).min(1),
    models: z.union([z.array(modelName).min(1), aliases], 'must be a list of names, or names with what the upstream calls them').optional(),
    aliases: aliases.default({}),
    add: additions.default({}),
    check_models: z.boolean().default(true),
    active: z
      .preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(hours, 'must be hours, or a list of hours').min(1))
      .optional(),
    max_in_flight_by_hour: z.record(hours, wholeNumber(1, 10_000)).default({}),
    api_key: key.optional(),
    api_key_env: z.string().min(1).optional(),
    api_key_file: z.string().min(1).optional(),
    headers: z.record(headerName, z.string().trim().refine(isHeaderValue, 'must be Latin-1 without line ends')).default({}),
    proxy: z.string().min(1).optional(),
    ca_file: z.string().min(1).optional(),
    cert_file: z.string().min(1).optional(),
    key_file: z.string().min(1).optional(),
    max_in_flight: wholeNumber(1, 10_000).default(1024),
    limiter: z.enum(['adaptive', 'fixed'], 'must be adaptive or fixed').default('adaptive'),
    requests_per_minute: wholeNumber(1, 10_000_000).optional(),
    tokens_per_minute: wholeNumber(1, 1_000_000_000_000).optional(),
    request_timeout_seconds: wholeNumber(1, 86_400).default(1800),
    max_response_bytes: wholeNumber(1024, 1_073_741_824).default(67_108_864),
    max_faults: wholeNumber(1, 100).default(5),
    max_refusals: wholeNumber(1, 1_000_000).optional(),
    one_model_at_a_time: z.boolean().default(false),
    unavailable_max_seconds: wholeNumber(1, 31_536_000).optional(),
  })
  .refine(
    ({ api_key, api_key_env, api_key_file }) => [api_key, api_key_env, api_key_file].filter((given) => given !== undefined).length <= 1,
    'has more than one of api_key, api_key_env and api_key_file: give one',
  );

const fileSchema = z.array(upstreamSchema, 'must be a list of upstreams').min(1, 'must name at least one upstream');

export type UpstreamsFile = { upstreams: UpstreamConfig[]; credentials: Record<string, UpstreamCredentials> };

/** Reads a list of upstreams (YAML, or JSON, which is YAML too). Adds whatever is wrong with it to `faults`, never a value of it. */
export function readUpstreamsFile(path: string, env: NodeJS.ProcessEnv, faults: string[]): UpstreamsFile {
  const nothing = { upstreams: [], credentials: {} };
  let content: unknown;
  try {
    content = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    faults.push(`NIGHTSHIFT_UPSTREAMS_FILE: ${path} cannot be read: ${firstLine(error)}`);
    return nothing;
  }
  const parsed = fileSchema.safeParse(content);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
      faults.push(`NIGHTSHIFT_UPSTREAMS_FILE: ${placeInList(content, issue.path, 'upstream')} ${message}`);
    }
    return nothing;
  }
  const result: UpstreamsFile = { upstreams: [], credentials: {} };
  for (const given of parsed.data) {
    if (given.name in result.credentials) faults.push(`NIGHTSHIFT_UPSTREAMS_FILE: two upstreams are named ${given.name}`);
    const apiKey = given.api_key ?? keyFromElsewhere(given, env, faults);
    const start = `NIGHTSHIFT_UPSTREAMS_FILE: ${given.name}: `;
    const ways = readWays(given.base_urls, { given, start }, env, faults);
    result.credentials[given.name] = { apiKey, headers: given.headers, ways };
    result.upstreams.push({
      name: given.name,
      baseUrls: given.base_urls,
      ...modelsOf(given),
      add: given.add,
      active: given.active ?? null,
      maxInFlightByHour: given.max_in_flight_by_hour,
      checkModels: given.check_models,
      maxInFlight: given.max_in_flight,
      limiter: given.limiter,
      requestsPerMinute: given.requests_per_minute ?? null,
      tokensPerMinute: given.tokens_per_minute ?? null,
      requestTimeoutMs: given.request_timeout_seconds * 1000,
      maxResponseBytes: given.max_response_bytes,
      maxFaults: given.max_faults,
      maxRefusals: given.max_refusals ?? null,
      oneModelAtATime: given.one_model_at_a_time,
      unavailableMaxMs: given.unavailable_max_seconds === undefined ? null : given.unavailable_max_seconds * 1000,
    });
  }
  return result;
}

/** A map of models holds aliases. */
function modelsOf({ models, aliases: others }: z.output<typeof upstreamSchema>): Pick<UpstreamConfig, 'models' | 'aliases'> {
  const [listed, mapped] = Array.isArray(models) ? [models, {}] : [[], models ?? {}];
  const all = { ...mapped, ...others };
  return { models: models === undefined ? null : [...new Set([...listed, ...Object.keys(all)])], aliases: all };
}

/** The key of an upstream that comes from a variable or a file; null when it has none, or a fault. */
function keyFromElsewhere(given: z.output<typeof upstreamSchema>, env: NodeJS.ProcessEnv, faults: string[]): string | null {
  const { name, api_key_env: variable, api_key_file: file } = given;
  const start = `NIGHTSHIFT_UPSTREAMS_FILE: ${name} takes its key from`;
  if (file !== undefined) {
    const read = readSecretFile(file, `NIGHTSHIFT_UPSTREAMS_FILE: ${name}: api_key_file`, faults);
    if (read !== null && !isSecret(read)) faults.push(`${start} ${file}, which must be printable ASCII without spaces`);
    return read;
  }
  if (variable === undefined) return null;
  const value = env[variable]?.trim() ?? '';
  if (value === '') faults.push(`${start} ${variable}, which is not set`);
  else if (!isSecret(value)) faults.push(`${start} ${variable}, which must be printable ASCII without spaces`);
  return value;
}

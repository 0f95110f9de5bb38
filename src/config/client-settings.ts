import { firstPlainKey } from './api-keys.ts';
import { ConfigError } from './config-error.ts';
import { readSecretFiles } from './secret-files.ts';
import { withoutServiceLinks } from './setting-names.ts';
import { isHttpUrl, isSecret } from './wire-values.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** Where the command line finds its API, and the key it sends there. */
export interface ClientConfig {
  /** With `/v1`, without a slash at the end. */
  baseUrl: string;
  /** Where the address was found, such as `NIGHTSHIFT_BASE_URL`. */
  baseUrlFrom: string;
  /** Whether it is the address of the API on this machine as it is without any settings. */
  isDefault: boolean;
  apiKey: string | null;
  /** Why no key or this key was sent; for the message of a 401. */
  keyHint: string;
}

export interface ClientSources {
  /** The options `--base-url` and `--api-key`. */
  options?: { baseUrl: string | null; apiKey: string | null };
  /** The variables of the process. */
  env: Variables;
  /** The variables of the `.env` file in the working folder. */
  file?: Variables;
}

const DEFAULT_PORT = '7800';
const OPENAI = 'https://api.openai.com/v1';

/**
 * Chooses the API and its key. A key goes only to the host that it was set for: one that is set beside a base URL goes to that
 * host, `OPENAI_API_KEY` goes to the host of `OPENAI_BASE_URL`, and a `.env` file, which may come with a cloned repository, never
 * gets a key of the environment sent to an address of its own.
 */
export function loadClientConfig({ options, env: variables, file = {} }: ClientSources): ClientConfig {
  const faults: string[] = [];
  // Not those of a `.env` file: it could have any file of this machine sent to its own address.
  const env = readSecretFiles(withoutServiceLinks(variables), ['API_KEY'], faults);
  if (faults.length > 0) throw new ConfigError(faults);
  const address = chooseAddress(options?.baseUrl ?? null, env, file);
  const baseUrl = readBaseUrl(address);
  const isFor = (named: string | undefined) => !named || originOf(named) === new URL(baseUrl).origin;
  const keys = [
    { value: options?.apiKey ?? undefined, from: '--api-key', fits: true },
    { value: env['NIGHTSHIFT_API_KEY'], from: 'NIGHTSHIFT_API_KEY', fits: !address.isOfFile && isFor(env['NIGHTSHIFT_BASE_URL']) },
    { value: file['NIGHTSHIFT_API_KEY'], from: 'NIGHTSHIFT_API_KEY in .env', fits: isFor(file['NIGHTSHIFT_BASE_URL']) },
    { value: plainKey(withKeysOfFile(env)), from: 'NIGHTSHIFT_API_KEYS', fits: address.isLocal && !address.isOfFile },
    { value: plainKey(file), from: 'NIGHTSHIFT_API_KEYS in .env', fits: address.isLocal },
    { value: env['OPENAI_API_KEY'], from: 'OPENAI_API_KEY', fits: !address.isOfFile && isFor(env['OPENAI_BASE_URL'] || OPENAI) },
  ].flatMap(({ value, ...rest }) => (value === undefined || value.trim() === '' ? [] : [{ ...rest, value: value.trim() }]));
  const key = keys.find(({ fits }) => fits) ?? null;
  if (key !== null && !isSecret(key.value)) throw new ConfigError([`${key.from} must be printable ASCII without spaces`]);

  const withheld = keys.find(({ fits }) => !fits)?.from;
  const hint =
    key !== null
      ? `The key was that of ${key.from}.`
      : withheld === undefined
        ? 'No key is set: set NIGHTSHIFT_API_KEY, or give --api-key.'
        : `${withheld} was not sent, because it was not set for ${baseUrl} (from ${address.from}). Set NIGHTSHIFT_API_KEY together with NIGHTSHIFT_BASE_URL, or give --api-key.`;
  const isDefault = baseUrl === `http://127.0.0.1:${DEFAULT_PORT}/v1`;
  return { baseUrl, baseUrlFrom: address.from, isDefault, apiKey: key?.value ?? null, keyHint: hint };
}

interface Address {
  text: string;
  from: string;
  /** The API that this machine runs by itself. */
  isLocal: boolean;
  isOfFile: boolean;
}

function chooseAddress(option: string | null, env: Variables, file: Variables): Address {
  const named = { isLocal: false, isOfFile: false };
  if (option !== null) return { ...named, text: option, from: '--base-url' };
  const [ours, ofFile, openai] = [env['NIGHTSHIFT_BASE_URL'], file['NIGHTSHIFT_BASE_URL'], env['OPENAI_BASE_URL']];
  if (ours) return { ...named, text: ours, from: 'NIGHTSHIFT_BASE_URL' };
  if (ofFile) return { ...named, text: ofFile, from: 'NIGHTSHIFT_BASE_URL in .env', isOfFile: true };
  if (openai) return { ...named, text: openai, from: 'OPENAI_BASE_URL' };
  const local = (port: string) => ({ text: `http://127.0.0.1:${port}/v1`, isLocal: true, isOfFile: false });
  const [port, portOfFile] = [env['NIGHTSHIFT_API_PORT'], file['NIGHTSHIFT_API_PORT']];
  if (port) return { ...local(port), from: 'NIGHTSHIFT_API_PORT' };
  if (portOfFile) return { ...local(portOfFile), from: 'NIGHTSHIFT_API_PORT in .env', isOfFile: true };
  return { ...local(DEFAULT_PORT), from: 'the default, as NIGHTSHIFT_BASE_URL is not set' };
}

/** The base URL without a slash at the end; a bare origin gets the `/v1` that every Batch API has. */
function readBaseUrl({ text, from }: Address): string {
  const given = text.trim();
  const url = isHttpUrl(given) ? new URL(given) : null;
  if (url === null) throw new ConfigError([`${from} must be an http(s) URL such as http://127.0.0.1:7800/v1`]);
  if (url.username !== '' || url.password !== '')
    throw new ConfigError([`${from} must not have a user or password: set NIGHTSHIFT_API_KEY`]);
  if (url.search !== '' || url.hash !== '') throw new ConfigError([`${from} must end with its path, without "?" or "#"`]);
  return url.origin + (url.pathname.replace(/\/+$/, '') || '/v1');
}

function originOf(text: string): string | null {
  return URL.parse(text.trim())?.origin ?? null;
}

/** The keys of an API on this machine. Their file is often out of a client's reach, which is no fault of the client. */
function withKeysOfFile(env: Variables): Variables {
  return readSecretFiles(env, ['API_KEYS'], []);
}

function plainKey(variables: Variables): string | undefined {
  return firstPlainKey(variables['NIGHTSHIFT_API_KEYS']) ?? undefined;
}

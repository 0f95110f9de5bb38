import {
  emptyString,
  invalidType,
  invalidValue,
  metadataTooManyProperties,
  missingParameter,
  priorityNotAllowed,
  propertyNameAboveMaxLength,
  stringAboveMaxLength,
  unknownParameter,
} from './errors/parameter-errors.ts';
import { DEDUPLICATE_KEY, DEDUPLICATE_VALUES } from '../domain/deduplicate.ts';
import { describeJsonType, isJsonRecord } from '../domain/json-type.ts';
import { allowedPriorities, PRIORITIES, PRIORITY_KEY } from '../domain/priority.ts';
import { codePoints } from '../domain/shown-text.ts';
import { readExpiresAfter } from './expires-after.ts';

/** What a client asks for with `POST /v1/batches`, checked. */
export interface BatchRequest {
  inputFileId: string;
  endpoint: string;
  /** As the client wrote it, and what it means. */
  completionWindow: string;
  windowMs: number;
  metadata: Record<string, string> | null;
  outputExpiresAfterSeconds: number | null;
}

/** The values that the configuration opens to clients. */
export interface OpenChoices {
  endpoints: readonly string[];
  /** Milliseconds by the name that clients write. */
  completionWindows: ReadonlyMap<string, number>;
}

const REQUIRED = ['input_file_id', 'endpoint', 'completion_window'] as const;
const KNOWN: ReadonlySet<string> = new Set([...REQUIRED, 'metadata', 'output_expires_after']);
/** Lengths are Unicode code points. */
const [MAX_KEYS, MAX_KEY_LENGTH, MAX_VALUE_LENGTH] = [16, 64, 512];
/** Ids are opaque, but what is none must not travel through the whole house. */
const MAX_FILE_ID_LENGTH = 512;

/** Checks shapes only, so that the answer comes at once; `bestPriority` is the most urgent one that the tenant may ask for. Whether the input file is any good is found out later. Throws the first 400. */
export function readBatchRequest(
  body: Record<string, unknown>,
  { endpoints, completionWindows }: OpenChoices,
  bestPriority: number,
): BatchRequest {
  for (const name of Object.keys(body)) if (!KNOWN.has(name)) throw unknownParameter(name);
  for (const name of REQUIRED) if (body[name] === undefined || body[name] === null) throw missingParameter(name);
  const inputFileId = readString(body, 'input_file_id');
  if (inputFileId === '') throw emptyString('input_file_id');
  if (inputFileId.length > MAX_FILE_ID_LENGTH) throw stringAboveMaxLength('input_file_id', MAX_FILE_ID_LENGTH, inputFileId.length);
  const endpoint = readString(body, 'endpoint');
  if (!endpoints.includes(endpoint)) throw invalidValue('endpoint', endpoint, endpoints);
  const completionWindow = readString(body, 'completion_window');
  const windowMs = completionWindows.get(completionWindow);
  if (windowMs === undefined) throw invalidValue('completion_window', completionWindow, [...completionWindows.keys()]);
  const metadata = readMetadata(body['metadata'], bestPriority);
  const outputExpiresAfterSeconds = readExpiresAfter('output_expires_after', body['output_expires_after']);
  return { inputFileId, endpoint, completionWindow, windowMs, metadata, outputExpiresAfterSeconds };
}

function readString(body: Record<string, unknown>, name: string): string {
  const value = body[name];
  if (typeof value !== 'string') throw invalidType(name, 'a string', describeJsonType(value));
  return value;
}

function readMetadata(given: unknown, bestPriority: number): Record<string, string> | null {
  if (given === undefined || given === null) return null;
  if (!isJsonRecord(given)) throw invalidType('metadata', 'an object', describeJsonType(given));
  const entries = Object.entries(given);
  if (entries.length > MAX_KEYS) throw metadataTooManyProperties(entries.length);
  return Object.fromEntries(entries.map(([key, value]) => [key, readMetadataValue(key, value, bestPriority)]));
}

function readMetadataValue(key: string, value: unknown, bestPriority: number): string {
  const keyLength = codePoints(key);
  if (keyLength > MAX_KEY_LENGTH) throw propertyNameAboveMaxLength('metadata', MAX_KEY_LENGTH, keyLength);
  if (typeof value !== 'string') throw invalidType(`metadata.${key}`, 'a string', describeJsonType(value));
  const length = codePoints(value);
  if (length > MAX_VALUE_LENGTH) throw stringAboveMaxLength(`metadata.${key}`, MAX_VALUE_LENGTH, length);
  // Nightshift acts on these keys, so a value that it would not honour is refused.
  if (key === PRIORITY_KEY) checkPriority(value, bestPriority);
  if (key === DEDUPLICATE_KEY && !DEDUPLICATE_VALUES.some((each) => each === value))
    throw invalidValue(`metadata.${key}`, value, DEDUPLICATE_VALUES);
  return value;
}

function checkPriority(value: string, best: number): void {
  const param = `metadata.${PRIORITY_KEY}`;
  if (!PRIORITIES.some((priority) => priority === value)) throw invalidValue(param, value, PRIORITIES);
  const allowed = allowedPriorities(best);
  if (!allowed.includes(value)) throw priorityNotAllowed(param, value, allowed);
}

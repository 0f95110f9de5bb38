import {
  emptyArray,
  emptyString,
  invalidType,
  invalidValue,
  missingParameter,
  stringAboveMaxLength,
  unknownParameter,
} from './errors/parameter-errors.ts';
import { invalidWebhookUrl } from './errors/webhook-errors.ts';
import { describeJsonType } from '../domain/json-type.ts';
import { WEBHOOK_EVENT_TYPES, type WebhookEventType } from '../domain/webhook.ts';

/** What a client says of a webhook endpoint, checked; of an update only what shall change. */
export interface WebhookRequest {
  name: string;
  url: string;
  eventTypes: WebhookEventType[];
}

const NAMES = ['name', 'url', 'event_types'] as const;
const [MAX_NAME, MAX_URL] = [256, 2048];

/** Reads the body of a creation. `urlFault` says why a URL may not be called. Throws the first 400. */
export function readWebhookRequest(body: Record<string, unknown>, urlFault: (url: string) => string | null): WebhookRequest {
  for (const name of NAMES) if (body[name] === undefined || body[name] === null) throw missingParameter(name);
  const { name = '', url = '', eventTypes = [] } = readWebhookChanges(body, urlFault);
  return { name, url, eventTypes };
}

/** Reads the body of an update. */
export function readWebhookChanges(body: Record<string, unknown>, urlFault: (url: string) => string | null): Partial<WebhookRequest> {
  for (const name of Object.keys(body)) if (!NAMES.some((known) => known === name)) throw unknownParameter(name);
  const name = readText(body, 'name', MAX_NAME);
  const url = readText(body, 'url', MAX_URL);
  const fault = url === null ? null : urlFault(url);
  if (fault !== null) throw invalidWebhookUrl(url ?? '', fault);
  const eventTypes = body['event_types'] === undefined ? null : readEventTypes(body['event_types']);
  return { ...(name === null ? {} : { name }), ...(url === null ? {} : { url }), ...(eventTypes === null ? {} : { eventTypes }) };
}

/** Reads one type of event. */
export function readEventType(given: unknown, param: string): WebhookEventType {
  if (typeof given !== 'string') throw invalidType(param, 'a string', describeJsonType(given));
  const found = WEBHOOK_EVENT_TYPES.find((type) => type === given);
  if (found === undefined) throw invalidValue(param, given, WEBHOOK_EVENT_TYPES);
  return found;
}

/** Reads a truth value that may be left out. */
export function readBoolean(body: Record<string, unknown>, name: string): boolean {
  const value = body[name] ?? false;
  if (typeof value !== 'boolean') throw invalidType(name, 'a boolean', describeJsonType(value));
  return value;
}

function readText(body: Record<string, unknown>, name: string, most: number): string | null {
  const value = body[name];
  if (value === undefined) return null;
  if (typeof value !== 'string') throw invalidType(name, 'a string', describeJsonType(value));
  if (value === '') throw emptyString(name);
  if (value.length > most) throw stringAboveMaxLength(name, most, value.length);
  return value;
}

function readEventTypes(given: unknown): WebhookEventType[] {
  if (!Array.isArray(given)) throw invalidType('event_types', 'an array', describeJsonType(given));
  if (given.length === 0) throw emptyArray('event_types');
  return [...new Set(given.map((each: unknown, index) => readEventType(each, `event_types[${index}]`)))];
}

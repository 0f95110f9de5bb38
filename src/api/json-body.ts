import type { IncomingMessage } from 'node:http';
import { bodyNotObject, bodyTooLarge, malformedJson } from './errors/request-errors.ts';
import { isJsonRecord } from '../domain/json-type.ts';
import { parseJsonExactly } from '../domain/parse-json-exactly.ts';
import { type BodyPace, BodyTooLarge, readWholeBody } from './request-body.ts';

/** More than the largest metadata needs by far. */
const MAX_JSON_BYTES = 1024 * 1024;
/** More than 16 keys and values take, however they are written: nobody gets an exact echo of more, so nobody pays for one. */
const MAX_EXACT_BYTES = 128 * 1024;

/** A parsed body, and the bytes it came in. */
export interface JsonBody {
  value: Record<string, unknown>;
  bytes: Buffer;
}

/** Reads a body that must be a JSON object, whatever its content type says. Throws the 400 or 413, or what else `readBody` throws. */
export async function readJsonBody(request: IncomingMessage, pace: BodyPace): Promise<JsonBody> {
  return asObject(await readJsonBytes(request, pace));
}

/** The same of a body that may be left out, which is the empty object then. */
export async function readOptionalJsonBody(request: IncomingMessage, pace: BodyPace): Promise<JsonBody> {
  const bytes = await readJsonBytes(request, pace);
  return bytes.length === 0 ? { value: {}, bytes } : asObject(bytes);
}

function asObject(bytes: Buffer): JsonBody {
  const value = parse(bytes);
  if (!isJsonRecord(value)) throw bodyNotObject();
  return { value, bytes };
}

/** The bytes of a body that is no file. Throws the 413, or what else `readBody` throws. */
export async function readJsonBytes(request: IncomingMessage, pace: BodyPace): Promise<Buffer> {
  return await readWholeBody(request, { ...pace, maxBytes: MAX_JSON_BYTES }).catch((error: unknown) => {
    throw error instanceof BodyTooLarge ? bodyTooLarge(error.maxBytes, null) : error;
  });
}

function parse(bytes: Buffer): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return bytes.length <= MAX_EXACT_BYTES ? parseJsonExactly(text) : JSON.parse(text);
  } catch {
    throw malformedJson();
  }
}

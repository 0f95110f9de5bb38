import { fileTooLarge } from './errors/file-errors.ts';
import { arrayAboveMaxLength, integerAboveMax, integerBelowMin, invalidType, missingParameter } from './errors/parameter-errors.ts';
import { DEFAULT_FILE_LIFE_SECONDS, type UploadPurpose } from '../domain/file.ts';
import { checkFilename } from './filename.ts';
import { describeJsonType } from '../domain/json-type.ts';
import type { Limits } from '../domain/limits.ts';
import { MAX_UPLOAD_PARTS } from '../domain/upload.ts';
import { invalidUploadParts } from './errors/upload-errors.ts';
import { readExpiresAfter } from './expires-after.ts';
import { lastOfPath } from './multipart.ts';
import { readPurpose } from './purpose.ts';

/** What a client announces with `POST /v1/uploads`, checked. */
export interface UploadRequest {
  bytes: number;
  /** Without folders. */
  filename: string;
  purpose: UploadPurpose;
  /** Null: its file lives until it is deleted. */
  fileLifeSeconds: number | null;
}

/** What a client says with `POST /v1/uploads/{id}/complete`, checked as far as that goes without looking at the parts. */
export interface CompleteRequest {
  partIds: string[];
  /** Hex digits, lower case; null when the client does not say. */
  md5: string | null;
}

const REQUIRED = ['bytes', 'filename', 'mime_type', 'purpose'] as const;

/** Checks an announced upload. `mime_type` is demanded, as at OpenAI, and then means nothing. Throws the first 400. */
export function readUploadRequest(body: Record<string, unknown>, limits: Limits): UploadRequest {
  for (const name of REQUIRED) if (body[name] === undefined || body[name] === null) throw missingParameter(name);
  const { bytes, filename, mime_type: mimeType } = body;
  if (typeof bytes !== 'number' || !Number.isInteger(bytes)) throw invalidType('bytes', 'an integer', describeJsonType(bytes));
  if (typeof filename !== 'string') throw invalidType('filename', 'a string', describeJsonType(filename));
  checkFilename('filename', filename);
  if (typeof mimeType !== 'string') throw invalidType('mime_type', 'a string', describeJsonType(mimeType));
  const purpose = readPurpose(body['purpose']);
  if (bytes < 0) throw integerBelowMin('bytes', 0, bytes);
  if (purpose === 'batch' && bytes > limits.maxBatchInputBytes) throw fileTooLarge();
  if (bytes > limits.maxResumableUploadBytes) throw integerAboveMax('bytes', limits.maxResumableUploadBytes, bytes);
  const asked = readExpiresAfter('expires_after', body['expires_after']);
  return {
    bytes,
    filename: lastOfPath(filename),
    purpose,
    fileLifeSeconds: asked ?? (purpose === 'batch' ? DEFAULT_FILE_LIFE_SECONDS : null),
  };
}

/** Checks which parts an upload shall be made of. Throws the first 400. */
export function readCompleteRequest(body: Record<string, unknown>): CompleteRequest {
  const { part_ids: given, md5 } = body;
  if (given === undefined || given === null) throw missingParameter('part_ids');
  if (!Array.isArray(given)) throw invalidType('part_ids', 'an array', describeJsonType(given));
  if (given.length > MAX_UPLOAD_PARTS) throw arrayAboveMaxLength('part_ids', MAX_UPLOAD_PARTS, given.length);
  const partIds = given.map((id: unknown, index) => {
    if (typeof id !== 'string') throw invalidType(`part_ids[${index}]`, 'a string', describeJsonType(id));
    return id;
  });
  if (new Set(partIds).size < partIds.length) throw invalidUploadParts('a part is named twice.');
  if (md5 !== undefined && md5 !== null && typeof md5 !== 'string') throw invalidType('md5', 'a string', describeJsonType(md5));
  return { partIds, md5: md5?.toLowerCase() ?? null };
}

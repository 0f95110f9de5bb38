import { UPLOAD_PURPOSES } from '../../domain/file.ts';
import type { Limits } from '../../domain/limits.ts';
import { MAX_UPLOAD_PARTS } from '../../domain/upload.ts';
import { expiresAfter } from './file-paths.ts';
import { oneOf, open, type Schema, text, textOrNull } from './json-schema.ts';
import { answers, body, linkTo, operation, pathId } from './operation.ts';

const part = open({ data: { type: 'string', format: 'binary' } }, ['data']);
const completion = open(
  {
    part_ids: { type: 'array', items: text, maxItems: MAX_UPLOAD_PARTS, uniqueItems: true, description: 'In the order of the content' },
    md5: { ...textOrNull, description: 'Of the whole content, in hex' },
  },
  ['part_ids'],
);

/** The endpoints of files that come in parts. */
export function uploadPaths({ maxResumableUploadBytes }: Limits): Schema {
  const announcement = open(
    {
      bytes: { type: 'integer', minimum: 0, maximum: maxResumableUploadBytes },
      filename: { type: 'string', maxLength: 1024 },
      mime_type: text,
      purpose: oneOf(UPLOAD_PURPOSES),
      expires_after: expiresAfter,
    },
    ['bytes', 'filename', 'mime_type', 'purpose'],
  );
  const parameters = [pathId('upload')];
  const success = { 200: answers('The upload', 'Upload') };
  return {
    '/v1/uploads': {
      post: operation('createUpload', 'Announce a file that will come in parts', {
        requestBody: body(announcement),
        success: { 200: { ...success[200], links: { part: linkTo('addUploadPart'), complete: linkTo('completeUpload') } } },
        errors: [400, 408, 413],
      }),
    },
    '/v1/uploads/{id}/parts': {
      parameters,
      post: operation('addUploadPart', 'Add a part of up to 64 MiB; several may come at a time', {
        requestBody: body(part, 'multipart/form-data'),
        success: { 200: answers('The part', 'UploadPart') },
        errors: [400, 404, 408, 409, 413],
      }),
    },
    '/v1/uploads/{id}/complete': {
      parameters,
      post: operation('completeUpload', 'Make a file out of parts', {
        requestBody: body(completion),
        success,
        errors: [400, 404, 408, 409, 413],
      }),
    },
    '/v1/uploads/{id}/cancel': {
      parameters,
      post: operation('cancelUpload', 'Give an upload up', { success, errors: [404, 409] }),
    },
  };
}

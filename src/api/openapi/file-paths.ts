import { UPLOAD_PURPOSES } from '../../domain/file.ts';
import { oneOf, open, type Schema, text } from './json-schema.ts';
import { answer, answers, body, linkTo, operation, pathId, query } from './operation.ts';

const binary: Schema = { type: 'string', format: 'binary' };
/** When a file shall go, in a JSON body. */
export const expiresAfter: Schema = {
  ...open({ anchor: oneOf(['created_at']), seconds: { type: 'integer', minimum: 3600, maximum: 2_592_000 } }, ['anchor', 'seconds']),
  type: ['object', 'null'],
};

const form: Schema = {
  ...open(
    {
      file: binary,
      purpose: oneOf(UPLOAD_PURPOSES),
      'expires_after[anchor]': oneOf(['created_at']),
      'expires_after[seconds]': { type: 'integer', minimum: 3600, maximum: 2_592_000 },
    },
    ['file', 'purpose'],
  ),
  dependentRequired: { 'expires_after[anchor]': ['expires_after[seconds]'], 'expires_after[seconds]': ['expires_after[anchor]'] },
};

const bytes = (description: string, headers: Schema) =>
  answer(description, binary, {
    mediaType: 'application/octet-stream',
    headers: {
      'accept-ranges': { required: true, schema: oneOf(['bytes']) },
      'content-disposition': { required: true, schema: text },
      ...headers,
    },
  });

/** The endpoints of files. */
export const filePaths: Schema = {
  '/v1/files': {
    post: operation('createFile', 'Upload a file', {
      requestBody: body(form, 'multipart/form-data'),
      success: { 200: { ...answers('The file', 'File'), links: { content: linkTo('downloadFile') } } },
      errors: [400, 408, 413],
    }),
    get: operation('listFiles', 'List files, newest first unless `order` says otherwise', {
      parameters: [
        query('after', 'Continue after this id, which may have been deleted meanwhile'),
        query('limit', 'Files per page', { type: 'integer', minimum: 1, maximum: 10_000, default: 10_000 }),
        query('order', 'By creation', { ...oneOf(['asc', 'desc']), default: 'desc' }),
        query('purpose', 'Only files of this purpose'),
      ],
      success: { 200: answers('One page', 'FileList') },
      errors: [400],
    }),
  },
  '/v1/files/{id}': {
    parameters: [pathId('file')],
    get: operation('retrieveFile', 'Look at a file', { success: { 200: answers('The file', 'File') }, errors: [404] }),
    delete: operation('deleteFile', 'Delete a file; a batch that reads it goes on', {
      success: { 200: answers('Deleted', 'FileDeleted') },
      errors: [404],
    }),
  },
  '/v1/files/{id}/content': {
    parameters: [pathId('file')],
    get: operation('downloadFile', 'Download the bytes of a file', {
      parameters: [{ name: 'Range', in: 'header', required: false, description: 'One range of bytes', schema: text }],
      success: {
        200: bytes('All bytes', {}),
        206: bytes('The bytes of the range', { 'content-range': { required: true, schema: text } }),
      },
      errors: [400, 404, 416],
    }),
  },
};

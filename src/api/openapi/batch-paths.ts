import type { OpenChoices } from '../batch-request.ts';
import { expiresAfter } from './file-paths.ts';
import { oneOf, open, type Schema, text } from './json-schema.ts';
import { answers, body, operation, pathId, query } from './operation.ts';

const metadata: Schema = {
  type: ['object', 'null'],
  maxProperties: 16,
  propertyNames: { maxLength: 64 },
  additionalProperties: { type: 'string', maxLength: 512 },
};

/** The endpoints of batches, with what the configuration lets a batch be. */
export function batchPaths({ endpoints, completionWindows }: OpenChoices): Schema {
  const known = open(
    {
      input_file_id: { type: 'string', maxLength: 512, description: 'A file of purpose `batch`; one that is not found fails the batch' },
      endpoint: oneOf(endpoints),
      completion_window: oneOf([...completionWindows.keys()]),
      metadata,
      output_expires_after: expiresAfter,
    },
    ['input_file_id', 'endpoint', 'completion_window'],
  );
  // A misspelt wish is refused instead of being forgotten.
  const request = { ...known, additionalProperties: false };
  return {
    '/v1/batches': {
      post: operation('createBatch', 'Create a batch', {
        parameters: [
          {
            name: 'Idempotency-Key',
            in: 'header',
            required: false,
            description: 'The same key and body answer the same batch',
            schema: text,
          },
        ],
        requestBody: body(request),
        success: { 200: answers('The batch', 'Batch') },
        errors: [400, 408, 409, 413],
      }),
      get: operation('listBatches', 'List batches, newest first', {
        parameters: [
          query('after', 'Continue after this id'),
          query('limit', 'Batches per page', { type: 'integer', minimum: 1, maximum: 100, default: 20 }),
        ],
        success: { 200: answers('One page', 'BatchList') },
        errors: [400],
      }),
    },
    '/v1/batches/{id}': {
      parameters: [pathId('batch')],
      get: operation('retrieveBatch', 'Look at a batch', { success: { 200: answers('The batch', 'Batch') }, errors: [404] }),
    },
    '/v1/batches/{id}/cancel': {
      parameters: [pathId('batch')],
      post: operation('cancelBatch', 'Cancel a batch; what is finished by then is kept', {
        success: { 200: answers('The batch', 'Batch') },
        errors: [404, 409],
      }),
    },
  };
}

import { BATCH_STATUSES } from '../../domain/batch.ts';
import { LINE_OUTCOMES } from '../../domain/closed-lines.ts';
import type { OpenChoices } from '../batch-request.ts';
import { expiresAfter } from './file-paths.ts';
import { always, named, oneOf, open, type Schema, text, unixSeconds } from './json-schema.ts';
import { answer, answers, body, operation, pathId, query } from './operation.ts';

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
      input_file_id: {
        type: 'string',
        maxLength: 512,
        description: 'A file of purpose `batch`. If it does not exist, the batch ends as `failed`',
      },
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
            description: 'A repeated call with this key and body returns the same batch',
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
          query('status', `Only batches of these statuses, with commas between: ${BATCH_STATUSES.join(', ')}`),
          query('created_after', 'Only batches created after this moment', unixSeconds),
          query('created_before', 'Only batches created before this moment', unixSeconds),
          {
            ...query('metadata', 'Only batches whose metadata has these values, as `metadata[key]=value`', {
              type: 'object',
            }),
            style: 'deepObject',
          },
        ],
        success: { 200: answers('One page', 'BatchList') },
        errors: [400],
      }),
    },
    '/v1/batches/estimate': {
      post: operation('estimateBatch', 'Say what a batch would amount to, without creating it', {
        requestBody: body(request),
        success: { 200: answers('The estimate', 'BatchEstimate') },
        errors: [400, 408, 413],
      }),
    },
    '/v1/batches/{id}': {
      parameters: [pathId('batch')],
      get: operation('retrieveBatch', 'Look at a batch', {
        parameters: [
          query('wait', 'Answer at the next change, at the latest after so many seconds', { type: 'integer', minimum: 0, maximum: 60 }),
        ],
        success: { 200: answers('The batch', 'Batch') },
        errors: [400, 404],
      }),
      delete: operation('deleteBatch', 'Delete a batch that has ended', {
        parameters: [query('delete_files', 'Whether its output and error file go too', { type: 'boolean', default: false })],
        success: { 200: answers('Deleted', 'BatchDeleted') },
        errors: [400, 404, 409],
      }),
    },
    '/v1/batches/{id}/events': {
      parameters: [pathId('batch')],
      get: operation('followBatch', 'Follow a batch until it ends', {
        success: {
          200: answer(
            'Server-Sent Events: an event `batch` with the Batch as its data, at once and at every change; a comment every 15 s',
            {},
            {
              mediaType: 'text/event-stream',
            },
          ),
        },
        errors: [404],
      }),
    },
    '/v1/batches/{id}/results': {
      parameters: [pathId('batch')],
      get: operation('listBatchResults', 'List the results of a batch line by line, also while it runs', {
        parameters: [
          query('after', 'Continue after this `id` of a result'),
          query('limit', 'Results per page', { type: 'integer', minimum: 1, maximum: 1000, default: 20 }),
          query('status', `Only lines that ended so, with commas between: ${LINE_OUTCOMES.join(', ')}`),
          query('custom_id', 'Only the line with this custom_id'),
          query('body', "Whether the answers' bodies come along", { type: 'boolean', default: false }),
        ],
        success: {
          200: answer('One page, in the order of the input. It may be empty although `has_more` is true', named('BatchResultList'), {
            headers: {
              'x-nightshift-incomplete': {
                description: 'There while the batch runs, when more lines may become known',
                required: false,
                schema: always('true'),
              },
            },
          }),
        },
        errors: [400, 404],
      }),
    },
    '/v1/batches/{id}/retry': {
      parameters: [pathId('batch')],
      post: operation('retryBatch', 'Make a batch of the lines that failed, expired or were cancelled', {
        requestBody: body({
          ...open(
            {
              status: { type: ['string', 'array', 'null'], description: 'Which of them: `failed`, `expired`, `cancelled`; all by default' },
            },
            [],
          ),
          additionalProperties: false,
        }),
        success: { 200: answers('The new batch', 'Batch') },
        errors: [400, 404, 408, 409, 413],
      }),
    },
    '/v1/batches/{id}/pause': {
      parameters: [pathId('batch')],
      post: operation('pauseBatch', 'Pause a batch: it starts no new request, and those in flight finish', {
        success: { 200: answers('The batch', 'Batch') },
        errors: [404, 409],
      }),
    },
    '/v1/batches/{id}/resume': {
      parameters: [pathId('batch')],
      post: operation('resumeBatch', 'Let a paused batch go on', {
        success: { 200: answers('The batch', 'Batch') },
        errors: [404, 409],
      }),
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

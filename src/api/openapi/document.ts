import type { Limits } from '../../domain/limits.ts';
import type { OpenChoices } from '../batch-request.ts';
import { batchPaths } from './batch-paths.ts';
import { filePaths } from './file-paths.ts';
import type { Schema } from './json-schema.ts';
import { operatorPaths } from './operator-paths.ts';
import { answer, answers, operation, pathId } from './operation.ts';
import { schemas } from './schemas.ts';
import { usagePaths } from './usage-paths.ts';
import { webhookPaths } from './webhook-paths.ts';
import { uploadPaths } from './upload-paths.ts';

/** What needs no key: the process itself. */
const processPaths: Schema = {
  '/health': {
    get: {
      operationId: 'health',
      summary: 'Whether the process runs',
      security: [],
      responses: { 200: answers('The process is running', 'Health'), 500: answers('Internal error', 'Error') },
    },
  },
  '/ready': {
    get: {
      operationId: 'ready',
      summary: 'Whether bucket and Temporal can be reached',
      security: [],
      responses: {
        200: answers('The bucket can be reached; the body also reports Temporal', 'Readiness'),
        500: answers('Internal error', 'Error'),
        503: answers('The bucket cannot be reached, or the process is shutting down', 'Readiness'),
      },
    },
  },
  '/openapi.json': {
    get: {
      operationId: 'describe',
      summary: 'This description',
      security: [],
      responses: { 200: answer('OpenAPI 3.1', { type: 'object' }), 500: answers('Internal error', 'Error') },
    },
  },
};

const modelPaths: Schema = {
  '/v1/models': {
    get: operation('listModels', 'List the models that batches may name', { success: { 200: answers('All models', 'ModelList') } }),
  },
  '/v1/models/{id}': {
    parameters: [pathId('model')],
    get: operation('retrieveModel', 'Retrieve a model', { success: { 200: answers('The model', 'Model') }, errors: [404] }),
  },
};

/** The API as an OpenAPI 3.1 document, with the endpoints, windows and limits that are configured. */
export function createOpenApiDocument(choices: OpenChoices & { limits: Limits }): Schema {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Nightshift',
      version: '1',
      description:
        'The Files, Uploads and Batch API of OpenAI, self-hosted. To get the next page of a list, send the `id` of its last item as `after`.',
    },
    servers: [{ url: '/' }],
    security: [{ key: [] }],
    paths: {
      ...filePaths,
      ...uploadPaths(choices.limits),
      ...batchPaths(choices),
      ...modelPaths,
      ...webhookPaths,
      ...usagePaths,
      ...operatorPaths,
      ...processPaths,
    },
    // For clients that cut a large input into batches.
    'x-nightshift-limits': {
      max_requests_per_batch: choices.limits.maxRequestsPerBatch,
      max_batch_input_bytes: choices.limits.maxBatchInputBytes,
      max_line_bytes: choices.limits.maxLineBytes,
      max_embedding_inputs: choices.limits.maxEmbeddingInputs,
    },
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } }, schemas },
  };
}

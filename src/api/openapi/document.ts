import type { Limits } from '../../domain/limits.ts';
import type { OpenChoices } from '../batch-request.ts';
import { batchPaths } from './batch-paths.ts';
import { filePaths } from './file-paths.ts';
import type { Schema } from './json-schema.ts';
import { answer, answers, operation, pathId } from './operation.ts';
import { schemas } from './schemas.ts';
import { webhookPaths } from './webhook-paths.ts';
import { uploadPaths } from './upload-paths.ts';

/** What needs no key: the process itself. */
const processPaths: Schema = {
  '/health': {
    get: {
      operationId: 'health',
      summary: 'Whether the process runs',
      security: [],
      responses: { 200: answers('It does', 'Health'), 500: answers('Our fault', 'Error') },
    },
  },
  '/ready': {
    get: {
      operationId: 'ready',
      summary: 'Whether bucket and Temporal can be reached',
      security: [],
      responses: {
        200: answers('Both can', 'Readiness'),
        500: answers('Our fault', 'Error'),
        503: answers('One cannot; the body says which', 'Readiness'),
      },
    },
  },
  '/openapi.json': {
    get: {
      operationId: 'describe',
      summary: 'This description',
      security: [],
      responses: { 200: answer('OpenAPI 3.1', { type: 'object' }), 500: answers('Our fault', 'Error') },
    },
  },
};

const modelPaths: Schema = {
  '/v1/models': {
    get: operation('listModels', 'List the models that batches may name', { success: { 200: answers('All of them', 'ModelList') } }),
  },
  '/v1/models/{id}': {
    parameters: [pathId('model')],
    get: operation('retrieveModel', 'Look at a model', { success: { 200: answers('The model', 'Model') }, errors: [404] }),
  },
};

/** The API as an OpenAPI 3.1 document, with the endpoints, windows and limits that are configured. */
export function createOpenApiDocument(choices: OpenChoices & { limits: Limits }): Schema {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Nightshift',
      version: '1',
      description: 'The Files, Uploads and Batch API of OpenAI, self-hosted. Lists page by the `id` of their last item, given as `after`.',
    },
    servers: [{ url: '/' }],
    security: [{ key: [] }],
    paths: { ...filePaths, ...uploadPaths(choices.limits), ...batchPaths(choices), ...modelPaths, ...webhookPaths, ...processPaths },
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } }, schemas },
  };
}

import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { isJsonRecord } from '../../src/domain/json-type.ts';
import type { TestApi } from './test-api.ts';

/** Calls an API and holds every answer to what `GET /openapi.json` says about it. */
export interface DescribedApi {
  /** Method and path template of every operation, such as `GET /v1/files/{id}`. */
  readonly operations: string[];
  /** Calls one of them and answers the body; fails unless status, content type, headers and body are as described. */
  call(operation: string, status: number, request?: { id?: string; query?: string } & RequestInit): Promise<unknown>;
}

/** Reads the description of a running API. */
export async function describedAnswers(api: TestApi): Promise<DescribedApi> {
  const document: unknown = await (await fetch(`${api.origin}/openapi.json`)).json();
  assert.ok(isJsonRecord(document));
  // Formats say how bytes are to be shown, which is no matter of validation here.
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true }).addSchema(document, 'api');
  const paths = recordOf(document, 'paths');

  function assertValid(pointer: readonly string[], value: unknown): void {
    const path = pointer.map((step) => encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
    const validate = ajv.compile({ $ref: `api#/${path}` });
    assert.ok(validate(value), `${path}: ${ajv.errorsText(validate.errors)}: ${JSON.stringify(value)}`);
  }

  return {
    operations: Object.entries(paths).flatMap(([path, item]) =>
      Object.keys(Object(item))
        .filter((key) => key !== 'parameters')
        .map((method) => `${method.toUpperCase()} ${path}`),
    ),

    async call(operation, status, { id = '', query = '', ...init } = {}) {
      const [method = '', template = ''] = operation.split(' ');
      const answer = await api.fetch(template.replace('{id}', encodeURIComponent(id)) + query, { ...init, method });
      const text = await answer.text();
      assert.equal(answer.status, status, `${operation}: ${text}`);
      const pointer = ['paths', template, method.toLowerCase(), 'responses', String(status)];
      const described = pointer.reduce<Record<string, unknown>>(recordOf, document);
      for (const [name, header] of Object.entries(recordOf(described, 'headers'))) {
        if (Object(header).required === true) assertValid([...pointer, 'headers', name, 'schema'], answer.headers.get(name));
      }
      const mediaType = answer.headers.get('content-type') ?? '';
      assert.ok(mediaType in recordOf(described, 'content'), `${operation}: ${mediaType}`);
      const body: unknown = mediaType === 'application/json' ? JSON.parse(text) : text;
      assertValid([...pointer, 'content', mediaType, 'schema'], body);
      return body;
    },
  };
}

function recordOf(value: Record<string, unknown>, key: string): Record<string, unknown> {
  const found = value[key];
  assert.ok(isJsonRecord(found), `the description has no ${key} in ${Object.keys(value).join()}`);
  return found;
}

import { named, type Schema, text } from './json-schema.ts';

/** What an error status means, wherever it is answered. */
const ERRORS = {
  400: 'A parameter or the body is missing, malformed or out of range; `param` names it',
  401: 'The key is missing or wrong',
  403: 'The key is not that of an operator',
  404: 'The id is unknown, belongs to another tenant, was deleted, or has expired',
  408: 'The body stalled',
  409: 'The object is in a status that does not allow this',
  413: 'The body is larger than this server accepts',
  416: 'The range is outside the content',
  429: 'A limit of this tenant is reached; `Retry-After` says when to try again',
  500: 'Internal error; the server log has more under the `x-request-id`',
  503: 'The bucket cannot be reached or is full; trying again is safe',
} as const;
export type ErrorStatus = keyof typeof ERRORS;

const requestId: Schema = {
  'x-request-id': {
    description: 'Id of the request, also in the server log',
    required: true,
    schema: { type: 'string', pattern: '^req_[0-9a-f]{32}$' },
  },
};

/** An answer with this content. */
export function answer(
  description: string,
  schema: Schema,
  { mediaType = 'application/json', headers = {} }: { mediaType?: string; headers?: Schema } = {},
): Schema {
  return { description, headers: { ...requestId, ...headers }, content: { [mediaType]: { schema } } };
}

/** An answer with a named schema. */
export function answers(description: string, schema: string): Schema {
  return answer(description, named(schema));
}

/** The operation that takes the `id` of an answer. */
export function linkTo(operationId: string): Schema {
  return { operationId, parameters: { id: '$response.body#/id' } };
}

/** An operation of a tenant: what it answers, and with which errors besides those that every operation has. */
export function operation(
  operationId: string,
  summary: string,
  { success, errors = [], ...rest }: { success: Schema; errors?: readonly ErrorStatus[] } & Schema,
): Schema {
  const failures = [...errors, 401 as const, 429 as const, 500 as const, 503 as const].sort((a, b) => a - b);
  return {
    operationId,
    summary,
    ...rest,
    responses: { ...success, ...Object.fromEntries(failures.map((status) => [status, answers(ERRORS[status], 'Error')])) },
  };
}

/** A parameter of the path. */
export function pathId(what: string): Schema {
  return { name: 'id', in: 'path', required: true, description: `Id of the ${what}`, schema: { type: 'string', minLength: 1 } };
}

/** A parameter of the query, which may be left out. */
export function query(name: string, description: string, schema: Schema = text): Schema {
  return { name, in: 'query', required: false, description, schema };
}

/** A body of this content. */
export function body(schema: Schema, mediaType = 'application/json'): Schema {
  return { required: true, content: { [mediaType]: { schema } } };
}

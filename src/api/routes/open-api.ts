import type { Limits } from '../../domain/limits.ts';
import type { OpenChoices } from '../batch-request.ts';
import type { Route } from '../context.ts';
import { createOpenApiDocument } from '../openapi/document.ts';

/** `GET /openapi.json`: the API described for machines; no key is needed. */
export function openApi(choices: OpenChoices & { limits: Limits }): Route {
  // Made once, because no key is needed to ask for it.
  const document = Buffer.from(JSON.stringify(createOpenApiDocument(choices)));
  return async (ctx) => {
    ctx.status = 200;
    ctx.set('Content-Type', 'application/json');
    ctx.body = document;
  };
}

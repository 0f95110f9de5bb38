import type { Limits } from '../../domain/limits.ts';
import type { OpenChoices } from '../batch-request.ts';
import { type Route, sendJson } from '../context.ts';
import { createOpenApiDocument } from '../openapi/document.ts';

/** `GET /openapi.json`: the API described for machines; no key is needed. */
export function openApi(choices: OpenChoices & { limits: Limits }): Route {
  const document = createOpenApiDocument(choices);
  return async (ctx) => sendJson(ctx, document);
}

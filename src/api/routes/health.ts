import { type Route, sendJson } from '../context.ts';

/** `GET /health`: this process is up, whatever it depends on. */
export function health(): Route {
  return async (ctx) => sendJson(ctx, { status: 'ok' });
}

import type { RouterContext } from '@koa/router';
import type { ParameterizedContext } from 'koa';
import { ClientGone } from './request-body.ts';
import type { Slots } from './slots.ts';

export type TakeBytes = ((bytes: number) => Promise<void>) | undefined;

/** What the middleware has found out about a request. */
export interface ApiState {
  /** Goes into every log line and into the header `x-request-id`. */
  requestId: string;
  /** Whose key was sent; null outside `/v1`. */
  tenant: string | null;
  /** The first eight hex digits of the SHA-256 of the key that was sent, whoever's it is; null without one. */
  keyFingerprint: string | null;
  /** The path as logs show it: without its query, cut. Nothing that a client sends makes reading it throw. */
  path: string;
  /** Whether the request line asks for a path; otherwise `ctx.path` is `/`, and the request is refused. */
  isTargetValid: boolean;
  /** Books bytes whose number was not known before; throws the 429 when the tenant may store no more. Absent: nothing to book. */
  takeBytes?: TakeBytes;
}

/** A request on its way through the middleware. */
export type ApiContext = ParameterizedContext<ApiState>;
/** A request as a route sees it, with the parameters of its path. */
export type RouteContext = RouterContext<ApiState>;
/** One endpoint. */
export type Route = (ctx: RouteContext) => Promise<void>;

/** The log, as far as the API needs it; pino fits. Neither keys nor bodies go there. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** The tenant of the request. Throws where no key was checked, so that a route outside authentication serves nobody. */
export function tenantOf(ctx: ApiContext): string {
  if (ctx.state.tenant === null) throw new Error(`${ctx.state.path} is served without authentication`);
  return ctx.state.tenant;
}

/** Ends when the client hangs up before its answer is out, so that work that only it wanted ends too. */
export function clientGone(ctx: ApiContext): AbortSignal {
  const gone = new AbortController();
  ctx.res.once('close', () => gone.abort(new ClientGone()));
  return gone.signal;
}

/** Holds a slot until the answer is out or the client gone. */
export async function holdSlot(ctx: ApiContext, slots: Slots, signal: AbortSignal): Promise<void> {
  const leave = await slots.enter(tenantOf(ctx), signal);
  if (ctx.res.closed) leave();
  else ctx.res.once('close', leave);
}

/** Answers with JSON; 200 unless a status was set. The SDKs look for exactly this content type. */
export function sendJson(ctx: ApiContext, value: object, status = 200): void {
  sendJsonText(ctx, JSON.stringify(value), status);
}

/** Answers with JSON that is text already. */
export function sendJsonText(ctx: ApiContext, text: string, status = 200): void {
  ctx.status = status;
  ctx.set('Content-Type', 'application/json');
  ctx.body = Buffer.from(text);
}

/** A parameter of the path, percent-decoded. */
export function pathParam(ctx: RouteContext, name: string): string {
  return ctx.params[name] ?? '';
}

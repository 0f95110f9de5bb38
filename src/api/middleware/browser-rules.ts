import type { Middleware } from 'koa';
import { foreignHost, foreignOrigin, unsupportedMediaType } from '../errors/request-errors.ts';
import type { ApiContext, ApiState } from '../context.ts';

/** How the API treats requests that a web page may have made a browser send. */
export interface BrowserRules {
  /**
   * Names under which this API may be asked, without port; null takes any. Set on loopback and without keys, because a page whose own name
   * was pointed at this machine (DNS rebinding) asks under that name.
   */
  allowedHosts: readonly string[] | null;
  /** Origins whose pages may call the API (CORS); `*` stands for any. */
  corsOrigins: readonly string[];
}

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]', '::1'];
/** What a page may read of an answer besides the body. */
const EXPOSED = ['x-request-id', 'retry-after', 'content-range', 'content-disposition', 'etag', 'last-modified', 'accept-ranges']
  .concat(['x-ratelimit-limit-requests', 'x-ratelimit-remaining-requests'])
  .join(', ');
const METHODS = 'GET, HEAD, POST, DELETE';
const PREFLIGHT_SECONDS = '600';

/** Content types that a page can send anywhere without a preflight, except the form that uploads need. */
const BLIND_TYPES = /^(?:text\/plain|application\/x-www-form-urlencoded|multipart\/form-data)\s*(?:;|$)/i;
const FORM_PATHS = /^\/v1\/(?:files|uploads\/[^/]+\/parts)$/;

/**
 * Refuses what a web page could send without the user's will, and answers preflights of the origins that are allowed. Throws the
 * 403 and the 415. Clients that are no browsers send no `Origin`, and notice nothing.
 */
export function browserRules({ allowedHosts, corsOrigins }: BrowserRules): Middleware<ApiState> {
  const hosts = allowedHosts === null ? null : new Set([...LOOPBACK_NAMES, ...allowedHosts.map((host) => host.toLowerCase())]);
  const isAllowedOrigin = (origin: string) => corsOrigins.includes('*') || corsOrigins.includes(origin);

  /** Whether a page of this origin is served by a host that may be asked. */
  function isOwnOrigin(origin: string, host: string): boolean {
    return URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
  }

  function allow(ctx: ApiContext, origin: string): void {
    ctx.set('Access-Control-Allow-Origin', corsOrigins.includes('*') ? '*' : origin);
    ctx.set('Access-Control-Expose-Headers', EXPOSED);
  }

  return async (ctx, next) => {
    // Probes ask under any name, and learn nothing.
    if (!ctx.path.startsWith('/v1')) return await next();
    const host = ctx.req.headers.host ?? '';
    if (hosts !== null && host !== '' && !hosts.has(nameOf(host))) throw foreignHost(host);
    const origin = ctx.get('origin');
    if (corsOrigins.length > 0) ctx.vary('Origin');
    if (origin !== '') {
      const isAllowed = isAllowedOrigin(origin);
      if (isAllowed) allow(ctx, origin);
      if (isAllowed && isPreflight(ctx)) return preflight(ctx);
      // With keys a page can do nothing without one, and a page that has one was given it.
      if (hosts !== null && !isAllowed && !isOwnOrigin(origin, host)) throw foreignOrigin(origin);
    }
    const type = ctx.get('content-type');
    const isForm = FORM_PATHS.test(ctx.path);
    if (hosts !== null && ctx.method === 'POST' && !isForm && BLIND_TYPES.test(type) && hasBody(ctx)) throw unsupportedMediaType(type);
    await next();
  };
}

function isPreflight(ctx: ApiContext): boolean {
  return ctx.method === 'OPTIONS' && ctx.get('access-control-request-method') !== '';
}

function preflight(ctx: ApiContext): void {
  ctx.set('Access-Control-Allow-Methods', METHODS);
  // As asked: SDKs send headers of their own, and none of them means anything to a browser.
  ctx.set('Access-Control-Allow-Headers', ctx.get('access-control-request-headers') || 'authorization, content-type');
  ctx.set('Access-Control-Max-Age', PREFLIGHT_SECONDS);
  ctx.vary('Access-Control-Request-Headers');
  ctx.status = 204;
}

function hasBody(ctx: ApiContext): boolean {
  return ctx.get('transfer-encoding') !== '' || Number(ctx.get('content-length')) > 0;
}

/** The name in a `Host` header, without its port, in lower case; a final dot means nothing. */
function nameOf(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
}

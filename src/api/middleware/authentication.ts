import { createHash, timingSafeEqual } from 'node:crypto';
import type { Middleware } from 'koa';
import { ONLY_TENANT } from '../../domain/tenant.ts';
import { invalidApiKey } from '../errors/request-errors.ts';
import type { ApiState } from '../context.ts';

/** The keys of the tenants. */
export interface ApiKeys {
  /** Whose key an `Authorization` header carries, null when no tenant has it, and what tells this key from others in logs. */
  identify(authorization: string | undefined): { tenant: string | null; fingerprint: string | null };
}

export interface ApiKeyEntry {
  tenant: string;
  /** SHA-256 of the key, 64 hex digits. */
  sha256Hex: string;
  /** Unix milliseconds from which the key is refused; null for a key that does not expire. */
  expiresAtMs: number | null;
}

/** Of a digest: enough to tell keys apart, far too little to try keys against. */
const FINGERPRINT_BYTES = 4;

/** Lets everybody in as tenant `default`, whatever they send: no key is configured. */
export const NO_KEYS: ApiKeys = { identify: () => ({ tenant: ONLY_TENANT, fingerprint: null }) };

/** Keys known by their hashes. `entries` is asked for each request, because they may change while the API runs. */
export function createApiKeys(entries: () => readonly ApiKeyEntry[], nowMs: () => number): ApiKeys {
  let [read, known]: [readonly ApiKeyEntry[], (ApiKeyEntry & { digest: Buffer })[]] = [[], []];

  function current() {
    const latest = entries();
    if (latest !== read) {
      known = latest.map((entry) => ({ ...entry, digest: Buffer.from(entry.sha256Hex, 'hex') }));
      read = latest;
    }
    return known;
  }

  return {
    identify(authorization) {
      const key = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
      if (key === undefined) return { tenant: null, fingerprint: null };
      const sent = createHash('sha256').update(key).digest();
      let tenant: string | null = null;
      // Every key is looked at, so that the time taken says nothing about which one matched.
      for (const each of current()) if (timingSafeEqual(sent, each.digest) && !isExpired(each, nowMs())) tenant = each.tenant;
      return { tenant, fingerprint: sent.toString('hex', 0, FINGERPRINT_BYTES) };
    },
  };
}

function isExpired({ expiresAtMs }: ApiKeyEntry, nowMs: number): boolean {
  return expiresAtMs !== null && nowMs >= expiresAtMs;
}

/** Finds the tenant of everything under `/v1`, known routes or not, before anything else is looked at. Throws the 401. */
export function authentication({ keys }: { keys: ApiKeys }): Middleware<ApiState> {
  return async (ctx, next) => {
    if (ctx.path === '/v1' || ctx.path.startsWith('/v1/')) {
      const { tenant, fingerprint } = keys.identify(ctx.get('authorization'));
      ctx.state.tenant = tenant;
      ctx.state.keyFingerprint = fingerprint;
      if (ctx.state.tenant === null) throw invalidApiKey();
    }
    await next();
  };
}

import { createHash, timingSafeEqual } from 'node:crypto';
import type { Middleware } from 'koa';
import { invalidApiKey } from '../../domain/errors.ts';
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
}

/** Of a digest: enough to tell keys apart, far too little to try keys against. */
const FINGERPRINT_BYTES = 4;
/** The tenant of everybody as long as no key is configured. */
const DEFAULT_TENANT = 'default';

/** Keys known by their hashes. Null: no key is configured, and everybody is tenant `default`, whatever they send. */
export function createApiKeys(entries: readonly ApiKeyEntry[] | null): ApiKeys {
  if (entries === null) return { identify: () => ({ tenant: DEFAULT_TENANT, fingerprint: null }) };
  const known = entries.map(({ tenant, sha256Hex }) => ({ tenant, digest: Buffer.from(sha256Hex, 'hex') }));
  return {
    identify(authorization) {
      const key = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
      if (key === undefined) return { tenant: null, fingerprint: null };
      const sent = createHash('sha256').update(key).digest();
      let tenant: string | null = null;
      // Every key is looked at, so that the time taken says nothing about which one matched.
      for (const each of known) if (timingSafeEqual(sent, each.digest)) tenant = each.tenant;
      return { tenant, fingerprint: sent.toString('hex', 0, FINGERPRINT_BYTES) };
    },
  };
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

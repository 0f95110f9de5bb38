import { createHash } from 'node:crypto';
import { parseJson, toJsonBytes } from './json-objects.ts';
import { keys } from './keys.ts';
import type { ObjectStore } from './object-store.ts';

/** One small object per model server, changed by compare-and-set. */
export interface LimitStore<T> {
  read(): Promise<{ value: T; tag: string } | null>;
  /** Writes if nothing was written since, `tag` null for nothing there; answers whether it did. */
  write(value: T, tag: string | null): Promise<boolean>;
}

/**
 * Where what the workers know of the server at this URL lies, as a server of this upstream: another upstream may send to the same server, with a
 * limit of its own. The shape of the value is trusted.
 */
export function createLimitStore<T>({
  store,
  upstream,
  baseUrl,
}: {
  store: Pick<ObjectStore, 'get' | 'create' | 'replace'>;
  upstream: string;
  baseUrl: string;
}): LimitStore<T> {
  const key = keys.limit(
    createHash('sha256')
      .update(`${upstream} ${addressOf(baseUrl)}`)
      .digest('hex'),
  );
  return {
    async read() {
      const found = await store.get(key);
      return found === null ? null : { value: parseJson<T>(key, found.body), tag: found.etag };
    },
    async write(value, tag) {
      const body = toJsonBytes(value);
      if (tag !== null) return (await store.replace(key, body, tag)) === 'replaced';
      return (await store.create(key, body)) === 'created';
    },
  };
}

/** The same for all who reach the server with other credentials. */
function addressOf(baseUrl: string): string {
  const { origin, pathname, search } = new URL(baseUrl);
  return `${origin}${pathname.replace(/\/+$/, '')}${search}`;
}

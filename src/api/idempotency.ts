import { createHash } from 'node:crypto';
import type { BatchRecord } from '../domain/batch.ts';
import { idempotencyConflict } from '../domain/errors.ts';
import type { BatchStore, IdempotencyEntry } from '../storage/batch-store.ts';

/** Remembers which batch a create made, so that a repeat of it makes no second one. */
export interface Idempotency {
  /**
   * Answers the record this create is about: the new one, or the first record of the batch that an earlier try made or
   * began to make. Throws the 409 for a key used before with another body.
   */
  claim(create: Create): Promise<{ record: BatchRecord; isRepeat: boolean }>;
  /** Whether `claim` would find an earlier try. */
  isRepeat(create: Create): Promise<boolean>;
}

export interface Create {
  /** The header `Idempotency-Key`; null without one. */
  key: string | null;
  /** The header `x-stainless-retry-count`: how often the SDK has sent this before. */
  retryCount: number;
  body: Buffer;
  /** What is created if nobody was here before. */
  record: BatchRecord;
}

/** Life of an entry without a key: afterwards a retry of the same body makes a batch of its own. */
const RETRY_WINDOW_MS = 10 * 60 * 1000;

/**
 * The entry is written before the batch and holds its whole first record, so that whoever finds it can finish a creation
 * that broke off. Keys and bodies lie under their hashes, with a prefix that keeps the two apart.
 */
export function createIdempotency({ batches, nowMs }: { batches: BatchStore; nowMs: () => number }): Idempotency {
  async function claimKey(key: string, entry: IdempotencyEntry) {
    const found = await batches.claimIdempotency(entry.record.tenant, sha256('key', Buffer.from(key)), entry);
    if (found === null) return { record: entry.record, isRepeat: false };
    if (found.bodyHash !== entry.bodyHash) throw idempotencyConflict();
    return { record: found.record, isRepeat: true };
  }

  async function claimBody(isRetry: boolean, entry: IdempotencyEntry) {
    const { tenant } = entry.record;
    if (isRetry) {
      const found = await batches.claimIdempotency(tenant, entry.bodyHash, entry, (standing) => !isYoung(standing, entry));
      return found === null ? { record: entry.record, isRepeat: false } : { record: found.record, isRepeat: true };
    }
    // A first try always makes a batch of its own; the newest entry is the one that retries adopt.
    await batches.putIdempotency(tenant, entry.bodyHash, entry);
    return { record: entry.record, isRepeat: false };
  }

  const entryOf = ({ body, record }: Create): IdempotencyEntry => ({ bodyHash: sha256('body', body), createdAtMs: nowMs(), record });

  return {
    async isRepeat(create) {
      const { key, retryCount, record } = create;
      if (key !== null) return (await batches.getIdempotency(record.tenant, sha256('key', Buffer.from(key)))) !== null;
      if (retryCount === 0) return false;
      const entry = entryOf(create);
      const found = await batches.getIdempotency(record.tenant, entry.bodyHash);
      return found !== null && isYoung(found, entry);
    },

    async claim(create) {
      const { key, retryCount } = create;
      const entry = entryOf(create);
      return key === null ? await claimBody(retryCount > 0, entry) : await claimKey(key, entry);
    },
  };
}

function isYoung(found: IdempotencyEntry, now: IdempotencyEntry): boolean {
  return now.createdAtMs - found.createdAtMs < RETRY_WINDOW_MS;
}

function sha256(kind: 'key' | 'body', bytes: Buffer): string {
  return createHash('sha256').update(`${kind}:`).update(bytes).digest('hex');
}

import { createHash } from 'node:crypto';
import type { BatchRecord } from '../domain/batch.ts';
import { idempotencyConflict } from './errors/request-errors.ts';
import type { BatchStore, IdempotencyEntry } from '../storage/batch-store.ts';

/** Remembers which batch a create made, so that a repeat of it makes no second one. */
export interface Idempotency {
  /** The first record of the batch that a create repeats; null when it repeats nothing. Throws the 409 for a key used with another body. */
  find(create: Create): Promise<BatchRecord | null>;
  /**
   * Like `find`, but claims the place of the create where it repeats nothing: of several repeats at once one makes the batch.
   * `isRepeat` says whether `record` is another's.
   */
  claim(create: Create, record: BatchRecord): Promise<{ record: BatchRecord; isRepeat: boolean }>;
  /** To be called when a create was refused before its record was written: its retries must not find an older batch. */
  noteRefused(create: Create): Promise<void>;
  /** To be called once a repeat was answered: the next create like it makes a batch of its own. */
  noteAnswered(create: Create, record: BatchRecord): Promise<void>;
  /** To be called when the batch may stand although its client was not told so: the next create like it is a repeat. */
  noteUnanswered(create: Create, record: BatchRecord): Promise<void>;
}

/** What tells one create from another. */
export interface Create {
  tenant: string;
  /** The header `Idempotency-Key`; null without one. */
  key: string | null;
  /** The header `x-stainless-retry-count`: how often the SDK has sent this before. */
  retryCount: number;
  body: Buffer;
}

/** Life of an entry without a key: afterwards the same body makes a batch of its own. */
const REPEAT_WINDOW_MS = 10 * 60 * 1000;
/** Notes kept in memory; each is a hash, a time and an id. */
const MAX_NOTES = 10_000;

/** What this process knows of the creates with one body and the bucket may not know, because it could not be reached. */
interface Note {
  atMs: number;
  /** Id of the batch whose client heard nothing; null: a create was refused. */
  unanswered: string | null;
}

/**
 * The entry is written before the batch and holds its whole first record, so that a repeat can finish a creation that broke off.
 * Keys and bodies lie under their hashes, with a prefix that keeps the two apart.
 *
 * Without a key a create is a repeat if it has the same body as one of the last ten minutes and either is an SDK retry, or
 * that one got no answer. A refused first try leaves a note, because its own retry would otherwise find an older batch.
 */
export function createIdempotency({ batches, nowMs }: { batches: BatchStore; nowMs: () => number }): Idempotency {
  const notes = new Map<string, Note>();

  function note(create: Create, unanswered: string | null): void {
    const key = noteKey(create);
    notes.delete(key);
    notes.set(key, { atMs: nowMs(), unanswered });
    const [oldest] = notes.keys();
    if (notes.size > MAX_NOTES && oldest !== undefined) notes.delete(oldest);
  }

  const isYoung = (atMs: number) => nowMs() - atMs < REPEAT_WINDOW_MS;

  /** The record that an entry hands to a create with the same body. */
  function adoptable(found: IdempotencyEntry, create: Create): BatchRecord | null {
    if (!isYoung(found.createdAtMs) || found.state === 'refused') return null;
    const noted = notes.get(noteKey(create));
    if (noted?.unanswered === null && noted.atMs >= found.createdAtMs) return null;
    const isUnanswered = found.state === 'unanswered' || noted?.unanswered === found.record.batch.id;
    return create.retryCount > 0 || isUnanswered ? found.record : null;
  }

  async function findByKey(create: Create, key: string): Promise<BatchRecord | null> {
    const found = await batches.getIdempotency(create.tenant, hashOf('key', Buffer.from(key)));
    if (found !== null && found.bodyHash !== hashOf('body', create.body)) throw idempotencyConflict();
    return found?.record ?? null;
  }

  async function findByBody(create: Create): Promise<BatchRecord | null> {
    const entry = await batches.getIdempotency(create.tenant, hashOf('body', create.body));
    return entry === null ? null : adoptable(entry, create);
  }

  async function claimKey(key: string, entry: IdempotencyEntry) {
    const found = await batches.claimIdempotency(entry.record.tenant, hashOf('key', Buffer.from(key)), entry);
    if (found === null) return { record: entry.record, isRepeat: false };
    if (found.bodyHash !== entry.bodyHash) throw idempotencyConflict();
    return { record: found.record, isRepeat: true };
  }

  async function claimBody(create: Create, entry: IdempotencyEntry) {
    if (create.retryCount > 0) {
      const isPast = (standing: IdempotencyEntry) => adoptable(standing, create) === null;
      const found = await batches.claimIdempotency(create.tenant, entry.bodyHash, entry, isPast);
      return found === null ? { record: entry.record, isRepeat: false } : { record: found.record, isRepeat: true };
    }
    // A first try makes a batch of its own; the newest entry is the one that retries adopt.
    await batches.putIdempotency(create.tenant, entry.bodyHash, entry);
    return { record: entry.record, isRepeat: false };
  }

  return {
    find: async (create) => await (create.key === null ? findByBody(create) : findByKey(create, create.key)),

    async claim(create, record) {
      const entry: IdempotencyEntry = { bodyHash: hashOf('body', create.body), createdAtMs: nowMs(), record, state: 'made' };
      if (create.key !== null) return await claimKey(create.key, entry);
      const found = create.retryCount === 0 ? await findByBody(create) : null;
      if (found !== null) return { record: found, isRepeat: true };
      const claimed = await claimBody(create, entry);
      notes.delete(noteKey(create));
      return claimed;
    },

    async noteRefused(create) {
      // The refusal of a retry says nothing about the try that it repeats.
      if (create.key !== null || create.retryCount > 0) return;
      note(create, null);
      await batches.updateIdempotency(create.tenant, hashOf('body', create.body), (found) =>
        found.state === 'made' && isYoung(found.createdAtMs) ? { ...found, state: 'refused' } : null,
      );
    },

    async noteAnswered(create, record) {
      if (create.key !== null) return;
      notes.delete(noteKey(create));
      await batches.updateIdempotency(create.tenant, hashOf('body', create.body), (found) =>
        found.record.batch.id === record.batch.id && found.state === 'unanswered' ? { ...found, state: 'made' } : null,
      );
    },

    async noteUnanswered(create, record) {
      if (create.key !== null) return;
      note(create, record.batch.id);
      await batches.updateIdempotency(create.tenant, hashOf('body', create.body), (found) =>
        found.record.batch.id === record.batch.id ? { ...found, state: 'unanswered' } : null,
      );
    },
  };
}

function noteKey({ tenant, body }: Create): string {
  return `${tenant}/${hashOf('body', body)}`;
}

function hashOf(kind: 'key' | 'body', bytes: Buffer): string {
  return createHash('sha256').update(`${kind}:`).update(bytes).digest('hex');
}

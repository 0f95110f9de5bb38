import type { ApiContext } from './context.ts';
import type { Create, Idempotency } from './idempotency.ts';
import { readJsonBytes } from './json-body.ts';
import type { BodyPace } from './request-body.ts';
import { settledWithin } from '../async/settled-within.ts';

/** Longest that a refusal waits for the body of the create it refuses, and for the note about it. */
const PATIENCE_MS = 1000;
/** More than any create has that is accepted. */
const MAX_NOTED_BYTES = 64 * 1024;

/** What a `POST /v1/batches` with these headers and this body is told apart by. */
export function createOf(ctx: ApiContext, tenant: string, body: Buffer): Create {
  return {
    tenant,
    key: ctx.get('idempotency-key') || null,
    retryCount: Number(ctx.get('x-stainless-retry-count')) || 0,
    body,
  };
}

/** Notes a create that is refused before its body is read; of any other request nothing. Takes a second at most, and never throws. */
export async function noteRefusedCreate(ctx: ApiContext, idempotency: Idempotency, bodyPace: BodyPace): Promise<void> {
  const { tenant } = ctx.state;
  if (tenant === null || ctx.method !== 'POST' || ctx.path !== '/v1/batches') return;
  // Refusals are not bounded in number, so only bodies that honest creates may have are held for a note.
  if (!((ctx.request.length ?? Infinity) <= MAX_NOTED_BYTES)) return;
  const create = createOf(ctx, tenant, Buffer.alloc(0));
  if (create.key !== null || create.retryCount > 0) return;
  const pace = { ...bodyPace, idleTimeoutMs: Math.min(bodyPace.idleTimeoutMs, PATIENCE_MS) };
  const noted = readJsonBytes(ctx.req, pace).then(async (body) => await idempotency.noteRefused({ ...create, body }));
  // The refusal is answered in any case, and a body that cannot be read has no older batch.
  await settledWithin(
    noted.catch(() => undefined),
    PATIENCE_MS,
  );
}

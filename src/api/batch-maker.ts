import type { ServerResponse } from 'node:http';
import type { BatchRecord } from '../domain/batch.ts';
import { batchWasDeleted } from './errors/batch-errors.ts';
import { newBatchId } from '../domain/ids.ts';
import { newBatch } from '../domain/new-batch.ts';
import type { TenantSettingsOf } from '../domain/tenant.ts';
import type { BatchStore } from '../storage/batch-store.ts';
import type { BatchRuns } from '../temporal/batch-runs.ts';
import type { BatchRequest } from './batch-request.ts';
import { type ApiContext, type Logger, sendJson } from './context.ts';
import { createCreateLimits } from './create-limits.ts';
import type { Create, Idempotency } from './idempotency.ts';
import { settledWithin } from '../async/settled-within.ts';
import { tellTemporal } from './tell-temporal.ts';

interface Deps {
  batches: BatchStore;
  runs: BatchRuns;
  idempotency: Idempotency;
  settingsOf: TenantSettingsOf;
  nowMs: () => number;
  monotonicMs: () => number;
  randomHex: (bytes: number) => string;
  logger: Logger;
}

/** A batch, and whether an earlier create made it. */
interface Made {
  record: BatchRecord;
  isRepeat: boolean;
}

/** Longest that a client waits for a note about its create. */
const NOTE_PATIENCE_MS = 1000;

/** What a new batch is made of. */
export interface NewBatchRequest extends BatchRequest {
  /** The batch of whose lines it is made; absent for one of its own. */
  retryOf?: string;
}

/** Makes batches, each once however often its create is repeated. */
export interface BatchMaker {
  /** Answers the request once the record is written, for from then on the batch will run. `prepare` is called unless the batch was made before. */
  accept(ctx: ApiContext, create: Create, prepare: () => Promise<NewBatchRequest>): Promise<void>;
}

/** All creates of a process go through one maker, because limits count what is under way. */
export function createBatchMaker(deps: Deps): BatchMaker {
  const { batches, runs, idempotency, nowMs, monotonicMs, randomHex, logger } = deps;
  const limits = createCreateLimits({ batches, settingsOf: deps.settingsOf, monotonicMs });

  async function accept(ctx: ApiContext, create: Create, prepare: () => Promise<NewBatchRequest>): Promise<void> {
    const { tenant } = create;
    const { record, isRepeat } = (await repeated(create)) ?? (await make(create, prepare, ctx.res));
    sendJson(ctx, record.batch);
    if (isRepeat) {
      await tried('answered', idempotency.noteAnswered(create, record));
      noteIfLost(ctx.res, create, record);
    }
    // The one line that leads from a client's request id to everything that is logged of its batch.
    logger.info({ request_id: ctx.state.requestId, tenant, batch: record.batch.id, repeat: isRepeat }, 'batch accepted');
  }

  /** The batch that this create repeats, as it stands now; no limit applies to it. Null while there is none. */
  async function repeated(create: Create): Promise<Made | null> {
    const first = await beforeRecord(create, async () => await idempotency.find(create));
    const standing = first === null ? null : await batches.get(create.tenant, first.batch.id);
    return standing === null ? null : { record: standing, isRepeat: true };
  }

  async function make(create: Create, prepare: () => Promise<NewBatchRequest>, response: ServerResponse): Promise<Made> {
    const { tenant } = create;
    const isRepeat = async () => (await idempotency.find(create)) !== null;
    const place = await beforeRecord(create, async () => await limits.enter(tenant, isRepeat));
    let isMade = false;
    try {
      const claimed = await beforeRecord(create, async () => await idempotency.claim(create, firstRecord(tenant, await prepare())));
      const standing = claimed.isRepeat ? await batches.get(tenant, claimed.record.batch.id) : null;
      if (standing !== null) return { record: standing, isRepeat: true };
      const { id } = claimed.record.batch;
      if (claimed.isRepeat && (await batches.isDeleted(tenant, id))) throw batchWasDeleted(id);
      noteIfLost(response, create, claimed.record);
      await begin(create, claimed.record);
      isMade = true;
      return claimed;
    } finally {
      place.end(isMade);
    }
  }

  /** What fails before the record is written is a refusal, which the retries of this create must not take for an older batch. */
  async function beforeRecord<T>(create: Create, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await tried('refused', idempotency.noteRefused(create));
      throw error;
    }
  }

  /** A client that hangs up before its answer does not know its batch. */
  function noteIfLost(response: ServerResponse, create: Create, record: BatchRecord): void {
    const note = () => (response.writableFinished ? undefined : void tried('unanswered', idempotency.noteUnanswered(create, record)));
    if (response.closed) note();
    else response.once('close', note);
  }

  /** Notes that cannot be written in time stay in the memory of this process. */
  async function tried(what: string, noting: Promise<void>): Promise<void> {
    const noted = noting.catch((error: unknown) => logger.debug({ err: error }, `a create could not be noted as ${what}`));
    await settledWithin(noted, NOTE_PATIENCE_MS);
  }

  function firstRecord(tenant: string, { retryOf, ...request }: NewBatchRequest): BatchRecord {
    const now = nowMs();
    const batch = newBatch({ ...request, id: newBatchId(now, randomHex(10)), nowSeconds: Math.floor(now / 1000) });
    const lineage = retryOf === undefined ? {} : { nightshift: { retry_of: retryOf } };
    return { batch: { ...batch, ...lineage }, tenant, output_expires_after_seconds: request.outputExpiresAfterSeconds };
  }

  /** A second run with the same record writes the same keys create-only and starts the same workflow id. */
  async function begin(create: Create, record: BatchRecord): Promise<void> {
    const { tenant, batch } = record;
    try {
      await batches.create(record);
    } catch (error) {
      // A write whose answer was lost may have been carried out, and then the batch runs.
      if ((await batches.get(tenant, batch.id).catch(() => null)) === null) {
        await tried('unanswered', idempotency.noteUnanswered(create, record));
        throw error;
      }
    }
    await tellTemporal(runs.start(record), { logger, what: 'start', batchId: batch.id });
  }

  return { accept };
}

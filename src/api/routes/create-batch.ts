import type { BatchRecord } from '../../domain/batch.ts';
import { wrongPurpose } from '../../domain/errors.ts';
import { isFileId, newBatchId } from '../../domain/ids.ts';
import type { TenantLimits } from '../../domain/limits.ts';
import { newBatch } from '../../domain/new-batch.ts';
import type { BestPriorityOf } from '../../domain/priority.ts';
import type { BatchStore } from '../../storage/batch-store.ts';
import type { FileStore } from '../../storage/file-store.ts';
import type { BatchRuns } from '../../temporal/batch-runs.ts';
import { type BatchRequest, type OpenChoices, readBatchRequest } from '../batch-request.ts';
import { type Logger, type Route, sendJson, tenantOf } from '../context.ts';
import { type Create, createIdempotency } from '../idempotency.ts';
import { readJsonBody } from '../json-body.ts';
import { createOpenBatchLimit } from '../open-batch-limit.ts';
import type { BodyPace } from '../request-body.ts';
import { tellTemporal } from '../tell-temporal.ts';

interface Deps extends OpenChoices {
  files: FileStore;
  batches: BatchStore;
  runs: BatchRuns;
  tenantLimits: TenantLimits;
  bestPriorityOf: BestPriorityOf;
  bodyPace: BodyPace;
  nowMs: () => number;
  randomHex: (bytes: number) => string;
  logger: Logger;
}

/** `POST /v1/batches`: answers once the record is written, for from then on the batch will run. */
export function createBatch(deps: Deps): Route {
  const { files, batches, runs, nowMs, randomHex, logger } = deps;
  const idempotency = createIdempotency({ batches, nowMs });
  const openBatches = createOpenBatchLimit({ batches, maxOpenBatches: deps.tenantLimits.maxOpenBatches });

  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const { value, bytes } = await readJsonBody(ctx.req, deps.bodyPace);
    const request = readBatchRequest(value, deps, deps.bestPriorityOf(tenant));
    await refuseOtherPurposes(tenant, request.inputFileId);

    const create: Create = {
      key: ctx.get('idempotency-key') || null,
      retryCount: Number(ctx.get('x-stainless-retry-count')) || 0,
      body: bytes,
      record: firstRecord(tenant, request),
    };
    const leave = await openBatches.enter(tenant, async () => await idempotency.isRepeat(create));
    try {
      const { record, isRepeat } = await idempotency.claim(create);
      const standing = isRepeat ? await batches.get(tenant, record.batch.id) : null;
      sendJson(ctx, (standing ?? (await begin(record))).batch);
      // The one line that leads from a client's request id to everything that is logged of its batch.
      logger.info({ request_id: ctx.state.requestId, tenant, batch: record.batch.id, repeat: isRepeat }, 'batch accepted');
    } finally {
      leave();
    }
  };

  /** A file that is not found is no error here: the batch will fail, as it does at OpenAI. */
  async function refuseOtherPurposes(tenant: string, inputFileId: string): Promise<void> {
    const file = isFileId(inputFileId) ? await files.get(tenant, inputFileId) : null;
    if (file !== null && file.purpose !== 'batch') throw wrongPurpose(file.id, file.purpose);
  }

  function firstRecord(tenant: string, request: BatchRequest): BatchRecord {
    const now = nowMs();
    const batch = newBatch({ ...request, id: newBatchId(now, randomHex(10)), nowSeconds: Math.floor(now / 1000) });
    return { batch, tenant, output_expires_after_seconds: request.outputExpiresAfterSeconds };
  }

  /** A second run with the same record writes the same keys create-only and starts the same workflow id. */
  async function begin(record: BatchRecord): Promise<BatchRecord> {
    await batches.create(record);
    await tellTemporal(runs.start(record), { logger, what: 'start', batchId: record.batch.id });
    return record;
  }
}

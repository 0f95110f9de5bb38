import type { TenantSettingsOf } from '../../domain/tenant.ts';
import type { Limits } from '../../domain/limits.ts';
import type { FileStore } from '../../storage/file-store.ts';
import type { OwnBucketOf } from '../../storage/own-bucket.ts';
import type { Slots } from '../slots.ts';
import type { BatchMaker } from '../batch-maker.ts';
import { type OpenChoices, readBatchRequest } from '../batch-request.ts';
import { clientGone, holdSlot, type Logger, type Route, tenantOf } from '../context.ts';
import { createOf } from '../create-try.ts';
import { importInput, isObjectUri } from '../import-input.ts';
import { inputFileOf } from '../input-file-of.ts';
import { readJsonBody } from '../json-body.ts';
import type { BodyPace } from '../request-body.ts';

interface Deps extends OpenChoices {
  files: FileStore;
  ownBucketOf: OwnBucketOf;
  downloads: Slots;
  limits: Limits;
  nowMs: () => number;
  randomHex: (bytes: number) => string;
  logger: Logger;
  maker: BatchMaker;
  settingsOf: TenantSettingsOf;
  bodyPace: BodyPace;
}

/** `POST /v1/batches`: answers once the record is written, for from then on the batch will run. */
export function createBatch(deps: Deps): Route {
  const { files, maker } = deps;

  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const { takeBytes } = ctx.state;
    const { value, bytes } = await readJsonBody(ctx.req, deps.bodyPace);
    const request = readBatchRequest(value, deps, deps.settingsOf(tenant).bestPriority);
    await maker.accept(ctx, createOf(ctx, tenant, bytes), async () => {
      if (isObjectUri(request.inputFileId)) {
        const signal = clientGone(ctx);
        await holdSlot(ctx, deps.downloads, signal);
        return { ...request, inputFileId: await importInput(deps, { tenant, uri: request.inputFileId, takeBytes, signal }) };
      }
      // A file that is not found is no error here: the batch will fail, as it does at OpenAI.
      await inputFileOf(files, tenant, request.inputFileId);
      return request;
    });
  };
}

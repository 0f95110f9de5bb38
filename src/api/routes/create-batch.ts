import { wrongPurpose } from '../errors/file-errors.ts';
import { isFileId } from '../../domain/ids.ts';
import type { TenantSettingsOf } from '../../domain/tenant.ts';
import type { FileStore } from '../../storage/file-store.ts';
import type { BatchMaker } from '../batch-maker.ts';
import { type OpenChoices, readBatchRequest } from '../batch-request.ts';
import { type Route, tenantOf } from '../context.ts';
import { createOf } from '../create-try.ts';
import { readJsonBody } from '../json-body.ts';
import type { BodyPace } from '../request-body.ts';

interface Deps extends OpenChoices {
  files: Pick<FileStore, 'get'>;
  maker: BatchMaker;
  settingsOf: TenantSettingsOf;
  bodyPace: BodyPace;
}

/** `POST /v1/batches`: answers once the record is written, for from then on the batch will run. */
export function createBatch(deps: Deps): Route {
  const { files, maker } = deps;

  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const { value, bytes } = await readJsonBody(ctx.req, deps.bodyPace);
    const request = readBatchRequest(value, deps, deps.settingsOf(tenant).bestPriority);
    await maker.accept(ctx, createOf(ctx, tenant, bytes), async () => {
      await refuseOtherPurposes(tenant, request.inputFileId);
      return request;
    });
  };

  /** A file that is not found is no error here: the batch will fail, as it does at OpenAI. */
  async function refuseOtherPurposes(tenant: string, inputFileId: string): Promise<void> {
    const file = isFileId(inputFileId) ? await files.get(tenant, inputFileId) : null;
    if (file !== null && file.purpose !== 'batch') throw wrongPurpose(file.id, file.purpose);
  }
}

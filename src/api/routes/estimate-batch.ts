import { hash } from 'node:crypto';
import { addAbortListener } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { createBatchEstimator, type BatchEstimate } from '../../domain/batch-estimate.ts';
import { estimateTookTooLong, tooLargeToEstimate } from '../errors/batch-errors.ts';
import { readThroughChecker } from '../../domain/check-input.ts';
import type { File } from '../../domain/file.ts';
import { FIRST_MODEL_BYTES, readFirstModel } from '../../domain/first-model.ts';
import { inputFileNotFound, inputFileTooLarge } from '../../domain/input-errors.ts';
import { DEFAULT_LIMITS, type Limits } from '../../domain/limits.ts';
import type { PriceTable } from '../../domain/prices.ts';
import type { TenantSettingsOf } from '../../domain/tenant.ts';
import type { FileStore } from '../../storage/file-store.ts';
import type { ModelStore } from '../../storage/model-store.ts';
import { type OpenChoices, readBatchRequest } from '../batch-request.ts';
import { clientGone, holdSlot, type Route, sendJson, tenantOf } from '../context.ts';
import { inputFileOf } from '../input-file-of.ts';
import { readJsonBody } from '../json-body.ts';
import type { BodyPace } from '../request-body.ts';
import { createSlots, type Slots } from '../slots.ts';

interface Deps extends OpenChoices {
  files: Pick<FileStore, 'get' | 'openContent'>;
  models: Pick<ModelStore, 'upstreams'>;
  limits: Limits;
  /** Null where the operator has none. */
  prices: PriceTable | null;
  settingsOf: TenantSettingsOf;
  bodyPace: BodyPace;
  monotonicMs: () => number;
  estimateTimeoutMs?: number;
}

/** Each reads and parses up to 200 MB, which takes a core for some seconds. */
const ESTIMATES = { what: 'one estimate at a time', perTenant: 1, total: 2, maxWaiting: 4, maxWaitMs: 10_000 };
/** A line of more than a megabyte takes up to one and a half times its length. */
const LONG_LINES = { what: 'one long line at a time', perTenant: 1, total: 1, maxWaiting: ESTIMATES.total, maxWaitMs: 60_000 };
/** More than so much is never read, whatever limit the operator has set for inputs: the custom_ids alone would take more than a process has. */
const MAX_BYTES = DEFAULT_LIMITS.maxBatchInputBytes;
/** Less than the minute after which proxies give up. */
const TIMEOUT_MS = 50_000;
/** The longest that lines are checked without a look at other requests. */
const TURN_MS = 10;

/** `POST /v1/batches/estimate`: what a batch of this body would amount to. Reads the whole input, and nothing is stored. */
export function estimateBatch(deps: Deps): Route {
  const { files, limits, estimateTimeoutMs = TIMEOUT_MS } = deps;
  const estimates = createSlots(ESTIMATES);
  const longLines = createSlots(LONG_LINES);

  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const { value } = await readJsonBody(ctx.req, deps.bodyPace);
    const { inputFileId, endpoint } = readBatchRequest(value, deps, deps.settingsOf(tenant).bestPriority);
    const file = await inputFileOf(files, tenant, inputFileId);
    if (file !== null && file.bytes > MAX_BYTES && file.bytes <= limits.maxBatchInputBytes) {
      throw tooLargeToEstimate(file.id, file.bytes, MAX_BYTES);
    }
    const gone = clientGone(ctx);
    await holdSlot(ctx, estimates, gone);
    const timeout = AbortSignal.timeout(estimateTimeoutMs);
    const progress = { line: 0 };
    try {
      const signal = AbortSignal.any([gone, timeout]);
      sendJson(ctx, await estimate({ ...deps, longLines }, { tenant, inputFileId, endpoint, file, signal, progress }));
    } catch (error) {
      gone.throwIfAborted();
      throw timeout.aborted ? estimateTookTooLong(inputFileId, Math.round(estimateTimeoutMs / 1000), progress.line) : error;
    }
  };
}

interface Estimating {
  tenant: string;
  inputFileId: string;
  endpoint: string;
  file: File | null;
  signal: AbortSignal;
  /** The line that was read last. */
  progress: { line: number };
}

/** Reads the input and answers what a batch of it would amount to. Long lines are checked one after the other. */
async function estimate(
  { files, models, limits, prices, monotonicMs, longLines }: Deps & { longLines: Slots },
  { tenant, inputFileId, endpoint, file, signal, progress }: Estimating,
): Promise<BatchEstimate> {
  const estimator = createBatchEstimator({
    endpoint,
    limits,
    upstreams: await models.upstreams(),
    prices,
    digest: (bytes) => hash('sha256', bytes, 'buffer'),
  });
  const isTooLarge = file !== null && file.bytes > limits.maxBatchInputBytes;
  const range = isTooLarge ? { start: 0, end: Math.min(file.bytes, FIRST_MODEL_BYTES) - 1 } : undefined;
  const content = file === null ? null : await files.openContent(tenant, file.id, range);
  if (content === null) return estimator.estimate(inputFileId, { verdict: 'refused', errors: [inputFileNotFound(inputFileId)] });
  const { body } = content;
  using _ending = addAbortListener(signal, () => body.destroy(signal.reason instanceof Error ? signal.reason : undefined));
  try {
    if (isTooLarge) {
      const errors = [inputFileTooLarge(limits.maxBatchInputBytes, await readFirstModel(body, endpoint))];
      return estimator.estimate(inputFileId, { verdict: 'refused', errors });
    }
    const { checker } = estimator;
    let turnMs = monotonicMs();
    await readThroughChecker({
      body,
      maxLineBytes: limits.maxLineBytes,
      checker,
      plan: () => true,
      from: { line: 1, offset: 0 },
      step() {
        signal.throwIfAborted();
        if (monotonicMs() - turnMs < TURN_MS) return undefined;
        return setImmediate().then(() => void (turnMs = monotonicMs()));
      },
      async longLine() {
        const leave = await longLines.enter(tenant, signal);
        return { [Symbol.dispose]: leave };
      },
      taken({ line }) {
        progress.line = line;
        // An estimate is never resumed, so what a checkpoint would save is freed.
        checker.takeCustomIds();
        return null;
      },
    });
    return estimator.estimate(inputFileId, checker.verdict());
  } finally {
    body.destroy();
  }
}

import Koa, { type Middleware } from 'koa';
import type { Limits } from '../domain/limits.ts';
import type { PriceTable } from '../domain/prices.ts';
import type { TenantSettingsOf } from '../domain/tenant.ts';
import type { BatchStore } from '../storage/batch-store.ts';
import type { FileStore } from '../storage/file-store.ts';
import type { ModelStore } from '../storage/model-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { PauseStore } from '../storage/pause-store.ts';
import type { ResultStore } from '../storage/result-store.ts';
import type { UploadStore } from '../storage/upload-store.ts';
import type { OwnBucketOf } from '../storage/own-bucket.ts';
import type { UsageStore } from '../storage/usage-store.ts';
import type { WorkerStateStore } from '../storage/worker-state-store.ts';
import type { WebhookStore } from '../storage/webhook-store.ts';
import type { Webhooks } from '../webhooks/webhooks.ts';
import type { BatchRuns } from '../temporal/batch-runs.ts';
import type { ApiContext, ApiState, Logger } from './context.ts';
import { noteRefusedCreate } from './create-try.ts';
import { createIdempotency } from './idempotency.ts';
import { type ApiKeys, authentication } from './middleware/authentication.ts';
import { type BrowserRules, browserRules } from './middleware/browser-rules.ts';
import { errorEnvelope } from './middleware/error-envelope.ts';
import { bodySlots } from './middleware/body-slots.ts';
import { httpRules } from './middleware/http-rules.ts';
import { rateLimit } from './middleware/rate-limit.ts';
import { requestLog } from './middleware/request-log.ts';
import { storageQuota } from './middleware/storage-quota.ts';
import type { BodyPace } from './request-body.ts';
import { createRouter, exactPathsFirst, answerNotFound } from './router.ts';

/** What the API is made of. It reads and writes records, and tells Temporal; it never runs a request. */
export interface AppDeps {
  files: FileStore;
  uploads: UploadStore;
  batches: BatchStore;
  models: Pick<ModelStore, 'list' | 'upstreams' | 'served'>;
  /** Null where the operator has none. */
  prices: PriceTable | null;
  usage: UsageStore;
  /** What operators have paused. */
  pauses: PauseStore;
  results: ResultStore;
  ownBucketOf: OwnBucketOf;
  /** What workers tell of themselves. */
  workerStates: Pick<WorkerStateStore, 'list'>;
  webhooks: WebhookStore;
  /** Null where nothing can be signed. */
  webhookSigner: Webhooks | null;
  runs: BatchRuns;
  objectStore: Pick<ObjectStore, 'ping'>;
  keys: ApiKeys;
  limits: Limits;
  settingsOf: TenantSettingsOf;
  /** Endpoints a batch may have. */
  endpoints: readonly string[];
  /** Completion windows a batch may have: milliseconds by the name that clients write. */
  completionWindows: ReadonlyMap<string, number>;
  /** Whether the completion window of a batch stands still while it is paused. */
  pauseStopsWindow: boolean;
  bodyPace: BodyPace;
  browserRules: BrowserRules;
  /** Longest that an estimate may take; for tests. */
  estimateTimeoutMs?: number;
  /** Raised when the process is about to end. */
  draining: AbortSignal;
  /** Whether a proxy stands in front, whose `X-Forwarded-For` says who the client is. */
  trustsProxy: boolean;
  /** Unix time. */
  nowMs: () => number;
  /** For what takes time or is of an age: nobody sets it. */
  monotonicMs: () => number;
  /** So many random bytes, as hex digits. */
  randomHex: (bytes: number) => string;
  logger: Logger;
  /** Goes around everything else, to measure it. */
  outermost?: Middleware<ApiState>;
}

/** How Node calls it when a client hangs up in the middle of an answer. */
const HANG_UPS: ReadonlySet<string> = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE']);

/** The HTTP API as a Koa app, without a listener; `createHttpServer` makes the server that fits it. */
export function createApp(deps: AppDeps): Koa<ApiState> {
  const { logger, monotonicMs, randomHex, keys } = deps;
  const app = new Koa<ApiState>();
  const idempotency = createIdempotency(deps);
  const router = createRouter(deps, idempotency);
  // Only what goes wrong after the first byte of an answer ends here: the bucket broke off, or the client, which is no fault.
  app.on('error', (error: Error & { code?: string }, ctx?: { state?: Partial<ApiState> }) => {
    if (HANG_UPS.has(error.code ?? '')) return;
    logger.error({ request_id: ctx?.state?.requestId, err: error }, 'an answer was interrupted');
  });
  if (deps.outermost !== undefined) app.use(deps.outermost);
  app.use(requestLog({ logger, monotonicMs, trustsProxy: deps.trustsProxy, newRequestId: () => `req_${randomHex(16)}` }));
  app.use(errorEnvelope({ logger }));
  app.use(httpRules());
  app.use(browserRules(deps.browserRules));
  app.use(authentication({ keys }));
  const onRefused = async (ctx: ApiContext) => await noteRefusedCreate(ctx, idempotency, deps.bodyPace);
  app.use(rateLimit({ settingsOf: deps.settingsOf, monotonicMs, onRefused }));
  app.use(bodySlots({ onRefused }));
  app.use(storageQuota({ settingsOf: deps.settingsOf, stores: [deps.files, deps.uploads], monotonicMs }));
  app.use(exactPathsFirst(router));
  app.use(router.routes());
  app.use(answerNotFound(router));
  return app;
}

import Router from '@koa/router';
import type { Middleware } from 'koa';
import type { ApiError } from './errors/api-error.ts';
import { methodNotAllowed, unknownRoute } from './errors/request-errors.ts';
import type { AppDeps } from './app.ts';
import type { ApiContext, ApiState } from './context.ts';
import { createIdempotency, type Idempotency } from './idempotency.ts';
import { createBatchMaker } from './batch-maker.ts';
import { createBatchWatch } from './batch-watch.ts';
import { createLiveCounts } from './live-counts.ts';
import { createUpstreamOverview } from './upstream-overview.ts';
import { createSlots } from './slots.ts';
import { addUploadPart } from './routes/add-upload-part.ts';
import { cancelBatch } from './routes/cancel-batch.ts';
import { cancelUpload } from './routes/cancel-upload.ts';
import { completeUpload } from './routes/complete-upload.ts';
import { createBatch } from './routes/create-batch.ts';
import { createFile } from './routes/create-file.ts';
import { estimateBatch } from './routes/estimate-batch.ts';
import { createUpload } from './routes/create-upload.ts';
import { batchResults } from './routes/batch-results.ts';
import { batchEvents } from './routes/batch-events.ts';
import { deleteBatch } from './routes/delete-batch.ts';
import { deleteFile } from './routes/delete-file.ts';
import { downloadFile } from './routes/download-file.ts';
import { health } from './routes/health.ts';
import { listBatches } from './routes/list-batches.ts';
import { listFiles } from './routes/list-files.ts';
import { listUpstreams } from './routes/list-upstreams.ts';
import { listModels, retrieveModel } from './routes/models.ts';
import { openApi } from './routes/open-api.ts';
import { pauseBatch } from './routes/pause-batch.ts';
import { steerEverything, steerUpstream } from './routes/pause-upstreams.ts';
import { ready } from './routes/ready.ts';
import { resumeBatch } from './routes/resume-batch.ts';
import { retrieveBatch } from './routes/retrieve-batch.ts';
import { retryBatch } from './routes/retry-batch.ts';
import { retrieveFile } from './routes/retrieve-file.ts';
import { usage } from './routes/usage.ts';
import { testWebhookEndpoint } from './routes/test-webhook-endpoint.ts';
import {
  createWebhookEndpoint,
  deleteWebhookEndpoint,
  listWebhookEndpoints,
  listWebhookEventTypes,
  retrieveWebhookEndpoint,
  rotateWebhookSecret,
  updateWebhookEndpoint,
} from './routes/webhook-endpoints.ts';

/** A page of a list takes up to 4 MiB until its client has read it. */
const LISTS = { what: '8 lists at a time', perTenant: 8, total: 32, maxWaiting: 200, maxWaitMs: 10_000 };
/** A download holds a megabyte in buffers and a connection to the bucket until its client has read it. */
const DOWNLOADS = { what: '32 downloads at a time', perTenant: 32, total: 128, maxWaiting: 32, maxWaitMs: 5_000 };

/** Clients that wait for a batch to change: each holds a connection and next to no memory. */
const WAITS = { what: '200 requests that wait for a batch at a time', perTenant: 200, total: 2_000, maxWaiting: 20, maxWaitMs: 1_000 };

/** The table of contents: every endpoint there is. Paths are exact, so that an empty id never becomes a list. */
export function createRouter(deps: AppDeps, idempotency: Idempotency = createIdempotency(deps)): Router<ApiState> {
  const watch = createBatchWatch({ ...deps, liveCounts: createLiveCounts(deps) });
  const maker = createBatchMaker({ ...deps, idempotency });
  const lists = createSlots(LISTS);
  const downloads = createSlots(DOWNLOADS);
  const waits = createSlots(WAITS);
  const router = new Router<ApiState>({ strict: true, sensitive: true });

  router.post('/v1/files', createFile(deps));
  router.get('/v1/files', listFiles({ ...deps, lists }));
  router.get('/v1/files/:id', retrieveFile(deps));
  router.delete('/v1/files/:id', deleteFile(deps));
  router.get('/v1/files/:id/content', downloadFile({ ...deps, downloads }));

  router.post('/v1/uploads', createUpload(deps));
  router.post('/v1/uploads/:id/parts', addUploadPart(deps));
  router.post('/v1/uploads/:id/complete', completeUpload(deps));
  router.post('/v1/uploads/:id/cancel', cancelUpload(deps));

  router.post('/v1/batches', createBatch({ ...deps, maker, downloads }));
  router.post('/v1/batches/estimate', estimateBatch(deps));
  router.get('/v1/batches', listBatches({ ...deps, lists }));
  router.get('/v1/batches/:id', retrieveBatch({ ...deps, watch, waits }));
  router.delete('/v1/batches/:id', deleteBatch(deps));
  router.get('/v1/batches/:id/events', batchEvents({ ...deps, watch, waits }));
  router.get('/v1/batches/:id/results', batchResults({ ...deps, lists }));
  router.post('/v1/batches/:id/retry', retryBatch({ ...deps, maker, downloads }));
  router.post('/v1/batches/:id/pause', pauseBatch(deps));
  router.post('/v1/batches/:id/resume', resumeBatch(deps));
  router.post('/v1/batches/:id/cancel', cancelBatch(deps));

  router.post('/v1/webhook_endpoints', createWebhookEndpoint(deps));
  router.get('/v1/webhook_endpoints', listWebhookEndpoints(deps));
  router.get('/v1/webhook_endpoints/:id', retrieveWebhookEndpoint(deps));
  router.post('/v1/webhook_endpoints/:id', updateWebhookEndpoint(deps));
  router.delete('/v1/webhook_endpoints/:id', deleteWebhookEndpoint(deps));
  router.post('/v1/webhook_endpoints/:id/rotate_secret', rotateWebhookSecret(deps));
  router.post('/v1/webhook_endpoints/:id/test', testWebhookEndpoint(deps));
  router.get('/v1/webhook_event_types', listWebhookEventTypes());

  router.get('/v1/models', listModels(deps));
  router.get('/v1/models/:id', retrieveModel(deps));

  router.get('/v1/nightshift/usage', usage({ ...deps, lists }));
  router.get('/v1/nightshift/upstreams', listUpstreams({ ...deps, overview: createUpstreamOverview(deps) }));
  router.post('/v1/nightshift/pause', steerEverything(deps, 'pause'));
  router.post('/v1/nightshift/resume', steerEverything(deps, 'resume'));
  router.post('/v1/nightshift/upstreams/:id/pause', steerUpstream(deps, 'pause'));
  router.post('/v1/nightshift/upstreams/:id/resume', steerUpstream(deps, 'resume'));

  router.get('/health', health());
  router.get('/ready', ready(deps));
  router.get('/openapi.json', openApi(deps));
  return router;
}

/** A path that stands in the table word for word is never taken for one with an id. Throws the 405. */
export function exactPathsFirst(router: Router<ApiState>): Middleware<ApiState> {
  return async (ctx, next) => {
    const methods = router.stack.filter(({ path }) => path === ctx.path).flatMap((layer) => layer.methods);
    if (methods.length > 0 && !methods.includes(ctx.method)) throw notAllowed(ctx, methods);
    await next();
  };
}

/** What is left when no route took the request: 405 where another method would do, else 404. */
export function answerNotFound(router: Router<ApiState>): Middleware<ApiState> {
  const exists = (path: string) => router.match(path, 'GET').path.length > 0;
  /** The path that a client with a wrong base URL or a slash too many meant; null when it is none. */
  function meantPath(path: string): string | null {
    const base = path.replace(/^(?:\/v1)+(?=\/)/, '').replace(/\/+$/, '');
    return [base, `/v1${base}`].find((each) => each !== path && each !== '' && exists(each)) ?? null;
  }

  return async (ctx) => {
    const methods = router.match(ctx.path, ctx.method).path.flatMap((layer) => layer.methods);
    if (methods.length === 0) throw unknownRoute(ctx.method, ctx.path, meantPath(ctx.path));
    throw notAllowed(ctx, methods);
  };
}

function notAllowed(ctx: ApiContext, methods: readonly string[]): ApiError {
  ctx.set('Allow', [...new Set(methods)].join(', '));
  return methodNotAllowed(ctx.method, ctx.path);
}

import { ApiFault } from './api-fault.ts';
import type { Call, Http } from './http.ts';
import type { OpenInput } from './open-input.ts';
import { type Page, readBatch, readEstimate, readFile, readLimits, readPage } from './read-batch.ts';
import { type BatchResultPage, readResultPage, type ResultQuery } from './read-results.ts';
import { readContent } from './read-content.ts';
import { readUpstreams, type UpstreamsAnswer } from './read-upstreams.ts';
import { readUsage, type UsageAnswer } from './read-usage.ts';
import { type OnBytes, uploadBody } from './upload-body.ts';
import type { Batch } from '../domain/batch.ts';
import type { BatchEstimate } from '../domain/batch-estimate.ts';
import type { File, UploadPurpose } from '../domain/file.ts';
import type { Limits } from '../domain/limits.ts';

/** The API as a client sees it, over HTTP. Failures are `ApiFault`s. */
export interface ApiClient {
  /** Streams a file up; it is never held in memory. */
  uploadFile(input: OpenInput, options?: { purpose?: UploadPurpose; onBytes?: OnBytes }): Promise<File>;
  /** What one batch may hold; OpenAI's limits where the API does not tell its own. */
  limits(): Promise<Limits>;
  getFile(id: string): Promise<File>;
  listFiles(query: PageQuery & { purpose?: string }): Promise<Page<File>>;
  deleteFile(id: string): Promise<void>;
  /** A file's content from this byte on. A transfer that breaks is continued. `onTotal` hears the length of the whole content. */
  readContent(id: string, from: number, onTotal?: (bytes: number) => void): AsyncIterable<Uint8Array>;
  /** Repeats a create with the same key, so that an answer that was lost makes no second batch. */
  createBatch(body: NewBatch, idempotencyKey: string): Promise<Batch>;
  /** What a batch of this body would amount to. */
  estimateBatch(body: NewBatch): Promise<BatchEstimate>;
  /** With `waitSeconds` the answer comes at the next change, and after so many seconds at the latest. */
  getBatch(id: string, options?: { retries?: number; waitSeconds?: number }): Promise<Batch>;
  /** Only batches whose metadata has these values, where the API can choose them. */
  listBatches(query: PageQuery & { metadata?: Record<string, string> }): Promise<Page<Batch>>;
  listResults(id: string, query: ResultQuery): Promise<BatchResultPage>;
  cancelBatch(id: string): Promise<Batch>;
  pauseBatch(id: string): Promise<Batch>;
  resumeBatch(id: string): Promise<Batch>;
  /** For operators. */
  listUpstreams(): Promise<UpstreamsAnswer>;
  /** For operators: an upstream, or everything if `name` is null. */
  steerUpstreams(call: 'pause' | 'resume', name: string | null): Promise<UpstreamPauseAnswer>;
  /** Makes a batch of the lines with these statuses; of all that were not answered where there are none. Repeated like a create. */
  retryBatch(id: string, statuses: readonly string[], idempotencyKey: string): Promise<Batch>;
  usage(query: UsageQuery): Promise<UsageAnswer>;
  /** The same as CSV, with line feeds. */
  usageCsv(query: UsageQuery): Promise<string>;
}

/** What is paused after a call of an operator. */
export interface UpstreamPauseAnswer {
  paused: string | null;
}

export interface PageQuery {
  limit: number;
  after: string | null;
}

/** Days are `YYYY-MM-DD`; null for the default. */
export interface UsageQuery {
  from: string | null;
  to: string | null;
  groupBy: string;
}

export interface NewBatch {
  input_file_id: string;
  endpoint: string;
  completion_window: string;
  metadata?: Record<string, string>;
}

/** A description is small and at hand. */
const LIMITS_ANSWER_MS = 5_000;
/** An API reads the whole input before it answers, and gives up before a minute has passed. */
const ESTIMATE_ANSWER_MS = 120_000;
/** An API copies the lines before it answers. */
const RETRY_ANSWER_MS = 3_600_000;
/** An API completes an upload before it answers. */
const UPLOAD_ANSWER_MS = 24 * 3_600_000;

export function createApiClient(http: Http): ApiClient {
  return { ...fileCalls(http), ...batchCalls(http), ...operatorCalls(http) };
}

type FileCall = 'uploadFile' | 'limits' | 'getFile' | 'listFiles' | 'deleteFile' | 'readContent';
type OperatorCall = 'usage' | 'usageCsv' | 'listUpstreams' | 'steerUpstreams';

function fileCalls(http: Http): Pick<ApiClient, FileCall> {
  const filePath = (id: string) => `/files/${encodeURIComponent(id)}`;
  return {
    async uploadFile(input, { purpose = 'batch', onBytes } = {}) {
      const body = () => uploadBody(input, { purpose, ...(onBytes === undefined ? {} : { onBytes }) });
      // The body itself says when it stalls.
      return readFile(await http.json({ method: 'POST', path: '/files', body, timeoutMs: UPLOAD_ANSWER_MS }));
    },
    async limits() {
      // The description stands beside `/v1`.
      const call = { method: 'GET', path: '/../openapi.json', timeoutMs: LIMITS_ANSWER_MS } as const;
      const description = await http.json(call).catch((error: unknown) => {
        // An API that is away may have limits of its own.
        if (error instanceof ApiFault && !error.isTransient) return null;
        throw error;
      });
      return readLimits(description);
    },
    getFile: async (id) => readFile(await http.json({ method: 'GET', path: filePath(id) })),
    async listFiles({ limit, after, purpose }) {
      return readPage(await http.json({ method: 'GET', path: `/files?${query({ limit: String(limit), after, purpose })}` }), readFile);
    },
    deleteFile: async (id) => void (await http.json({ method: 'DELETE', path: filePath(id) })),
    readContent: (id, from, onTotal) =>
      readContent(http, { path: `${filePath(id)}/content`, from, ...(onTotal === undefined ? {} : { onTotal }) }),
  };
}

function batchCalls(http: Http): Omit<ApiClient, FileCall | OperatorCall> {
  const batchPath = (id: string) => `/batches/${encodeURIComponent(id)}`;
  const steer = async (id: string, call: 'pause' | 'resume' | 'cancel') =>
    readBatch(await http.json({ method: 'POST', path: `${batchPath(id)}/${call}` }));
  return {
    async createBatch(body, idempotencyKey) {
      const headers = { 'idempotency-key': idempotencyKey };
      return readBatch(await http.json({ method: 'POST', path: '/batches', headers, body: jsonBody(body) }));
    },
    async estimateBatch(body) {
      const call = { method: 'POST', path: '/batches/estimate', timeoutMs: ESTIMATE_ANSWER_MS } as const;
      return readEstimate(await http.json({ ...call, body: jsonBody(body) }));
    },
    async getBatch(id, { waitSeconds = 0, ...options } = {}) {
      const path = waitSeconds === 0 ? batchPath(id) : `${batchPath(id)}?wait=${waitSeconds}`;
      return readBatch(await http.json({ method: 'GET', path, ...options }));
    },
    async listBatches({ limit, after, metadata = {} }) {
      const chosen = Object.fromEntries(Object.entries(metadata).map(([key, value]) => [`metadata[${key}]`, value]));
      return readPage(await http.json({ method: 'GET', path: `/batches?${query({ limit: String(limit), after, ...chosen })}` }), readBatch);
    },
    async listResults(id, { limit, after, status, customId, withBody = false }) {
      const given = query({ limit: String(limit), after, status, custom_id: customId, body: withBody ? 'true' : undefined });
      const answer = await http.open({ method: 'GET', path: `${batchPath(id)}/results?${given}` });
      return readResultPage(await answer.text(), answer.headers.has('x-nightshift-incomplete'));
    },
    async retryBatch(id, statuses, idempotencyKey) {
      const body = jsonBody(statuses.length === 0 ? {} : { status: statuses });
      const headers = { 'idempotency-key': idempotencyKey };
      return readBatch(await http.json({ method: 'POST', path: `${batchPath(id)}/retry`, headers, body, timeoutMs: RETRY_ANSWER_MS }));
    },
    pauseBatch: async (id) => await steer(id, 'pause'),
    resumeBatch: async (id) => await steer(id, 'resume'),
    cancelBatch: async (id) => await steer(id, 'cancel'),
  };
}

function operatorCalls(http: Http): Pick<ApiClient, OperatorCall> {
  const usagePath = ({ from, to, groupBy }: UsageQuery, format: string) =>
    `/nightshift/usage?${query({ from, to, group_by: groupBy, format })}`;
  return {
    usage: async (wanted) => readUsage(await http.json({ method: 'GET', path: usagePath(wanted, 'json') })),
    async usageCsv(wanted) {
      const answer = await http.open({ method: 'GET', path: usagePath(wanted, 'csv') });
      return (await answer.text()).replaceAll('\r\n', '\n');
    },
    listUpstreams: async () => readUpstreams(await http.json({ method: 'GET', path: '/nightshift/upstreams' })),
    async steerUpstreams(call, name) {
      const of = name === null ? '' : `/upstreams/${encodeURIComponent(name)}`;
      const answer = await http.json({ method: 'POST', path: `/nightshift${of}/${call}` });
      const { paused }: { paused?: unknown } = Object(answer);
      return { ...Object(answer), paused: typeof paused === 'string' ? paused : null };
    },
  };
}

function jsonBody(value: object): NonNullable<Call['body']> {
  const content = JSON.stringify(value);
  return () => ({ content, headers: { 'content-type': 'application/json' } });
}

function query(given: Record<string, string | null | undefined>): string {
  const entries = Object.entries(given).flatMap(([name, value]): [string, string][] => (value == null ? [] : [[name, value]]));
  return new URLSearchParams(entries).toString();
}

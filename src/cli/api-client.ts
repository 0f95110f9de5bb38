import { createWriteStream, openAsBlob } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CommandError } from './command-error.ts';
import type { Batch } from '../domain/batch.ts';
import type { File } from '../domain/file.ts';

/** The API as a client sees it, over HTTP. Failures are `CommandError`s, those worth another try `ApiUnreachable`. */
export interface ApiClient {
  /** Streams a file up; it is never held in memory. */
  uploadFile(path: string): Promise<File>;
  createBatch(body: {
    input_file_id: string;
    endpoint: string;
    completion_window: string;
    metadata?: Record<string, string>;
  }): Promise<Batch>;
  getBatch(id: string): Promise<Batch>;
  listBatches(query: { limit: number; after: string | null }): Promise<{ data: Batch[]; has_more: boolean }>;
  cancelBatch(id: string): Promise<Batch>;
  /** Streams a file's content to a path; it appears there complete or not at all. */
  downloadFile(id: string, path: string): Promise<void>;
}

/** Nobody answered, or with "not now": a later try may work. */
export class ApiUnreachable extends CommandError {}

/** A client of the API at `baseUrl` (with `/v1`); the key is sent as a bearer token where there is one. */
export function createApiClient({ baseUrl, apiKey }: { baseUrl: string; apiKey: string | null }): ApiClient {
  const authorization = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };

  async function call(method: string, path: string, body?: FormData | object): Promise<Response> {
    const isForm = body instanceof FormData;
    let answer: Response;
    try {
      answer = await fetch(baseUrl + path, {
        method,
        headers: { ...authorization, ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
      });
    } catch (error) {
      throw new ApiUnreachable(
        `Nothing answers at ${baseUrl} (${reasonOf(error)}): is the API running, or does NIGHTSHIFT_BASE_URL name another one?`,
        { cause: error },
      );
    }
    if (answer.ok) return answer;
    const message = messageOf(await answer.text()) ?? `${baseUrl} answers ${answer.status} to ${method} ${path}`;
    throw answer.status === 429 || answer.status >= 500
      ? new ApiUnreachable(`${message} (HTTP ${answer.status})`)
      : new CommandError(message);
  }

  // NOTE: what the API answers is trusted to be what its routes promise; this client is released with it.
  async function json<T>(answer: Promise<Response>): Promise<T> {
    const text = await (await answer).text();
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new CommandError(`What answers at ${baseUrl} is no Batch API: its answer is not JSON.`, { cause: error });
    }
  }

  return {
    async uploadFile(path) {
      const form = new FormData();
      form.append('purpose', 'batch');
      const content = await openAsBlob(path).catch((error: unknown) => {
        throw new CommandError(`${path} cannot be read.`, { cause: error });
      });
      form.append('file', content, basename(path));
      return await json(call('POST', '/files', form));
    },
    createBatch: async (body) => await json(call('POST', '/batches', body)),
    getBatch: async (id) => await json(call('GET', `/batches/${encodeURIComponent(id)}`)),
    async listBatches({ limit, after }) {
      return await json(
        call('GET', `/batches?${new URLSearchParams({ limit: String(limit), ...(after === null ? {} : { after }) }).toString()}`),
      );
    },
    cancelBatch: async (id) => await json(call('POST', `/batches/${encodeURIComponent(id)}/cancel`)),
    async downloadFile(id, path) {
      const { body } = await call('GET', `/files/${encodeURIComponent(id)}/content`);
      const part = `${path}.part`;
      try {
        await pipeline(body === null ? Readable.from([]) : Readable.fromWeb(body), createWriteStream(part));
        await rename(part, path);
      } catch (error) {
        await rm(part, { force: true });
        throw new CommandError(`The content of ${id} could not be written to ${path}: ${reasonOf(error)}.`, { cause: error });
      }
    },
  };
}

function messageOf(text: string): string | null {
  try {
    const { error }: { error?: { message?: unknown } } = JSON.parse(text);
    return typeof error?.message === 'string' ? error.message : null;
  } catch {
    return null;
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? error.cause : error;
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
}

import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from './api-client.ts';
import { ApiFault } from './api-fault.ts';
import { CommandError } from './command-error.ts';
import type { Context } from './command.ts';
import { describeFault } from './describe-batch.ts';
import { findGroup, groupIdOf, groupMetadata, type Group } from './group.ts';
import type { OpenInput } from './open-input.ts';
import { count, duration } from './progress-line.ts';
import { type ScannedInput, type ScannedPart, scanInput } from './scan-input.ts';
import { createTransfers } from './transfer-line.ts';
import { uploadShown } from './upload-shown.ts';
import type { Batch } from '../domain/batch.ts';
import type { File } from '../domain/file.ts';
import { createLineSplitter } from '../domain/jsonl.ts';
import type { Limits } from '../domain/limits.ts';
import { createReadStream } from 'node:fs';

/** What the batches of a group have in common. */
export interface GroupRequest {
  endpoint: string;
  completion_window: string;
  metadata: Record<string, string>;
}

/** Waits while a tenant has as many open batches, or makes as many an hour, as it may. */
const FULL_MS = 15_000;
const FAULTS_SHOWN = 10;
/** Files that are looked at for one that an interrupted call has uploaded. */
const FILES_LOOKED_AT = 100;

/** Whether an input needs more than one batch. Embeddings are counted only where nothing else tells. */
export async function needsGroup(
  input: OpenInput,
  endpoint: string,
  { limits, signal }: { limits: Limits; signal: AbortSignal },
): Promise<boolean> {
  if (input.bytes > limits.maxBatchInputBytes) return true;
  if (input.bytes === 0) return false;
  const splitter = createLineSplitter({ maxLineBytes: limits.maxLineBytes });
  let lines = 0;
  const chunks: AsyncIterable<Buffer> = createReadStream(input.path);
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    lines += splitter.push(chunk).length;
  }
  if (lines + splitter.end().length > limits.maxRequestsPerBatch) return true;
  if (endpoint !== '/v1/embeddings') return false;
  const { errors, parts } = await scanInput(input, { endpoint, limits, signal });
  return errors.length === 0 && parts.length > 1;
}

/**
 * Makes a batch of each part of an input, and answers them. Nothing is sent unless all lines are good. Batches that an earlier call has made
 * of the same parts are taken as they are, so that a call that was interrupted goes on.
 */
export async function submitGroup(
  client: ApiClient,
  given: {
    input: OpenInput;
    request: GroupRequest;
    limits: Limits;
    salt: string;
    context: Context;
    onBatch: (batch: Batch) => void;
    onGroup: (id: string) => void;
  },
): Promise<Group> {
  const { input, request, limits, salt, context, onBatch, onGroup } = given;
  const { output, signal } = context;
  const { parts } = await scanAll(input, request.endpoint, { limits, context });
  const id = groupIdOf(parts, request, salt);
  onGroup(id);
  const found = await findGroup(client, id, { mayBeMissing: true });
  const made = found.parts.filter(({ batches }) => batches.length > 0);
  if (made.length > 0) {
    output.note(
      `This input was submitted before, as ${id}: ${made.length} of ${parts.length} batches are there. To run all of it anew, give an --idempotency-key.`,
    );
  }
  const uploaded =
    made.length === parts.length ? [] : (await client.listFiles({ limit: FILES_LOOKED_AT, after: null, purpose: 'batch' })).data;
  for (const [at, part] of parts.entries()) {
    if ((found.parts[at]?.batches.length ?? 0) > 0) continue;
    signal.throwIfAborted();
    const file = await uploadPart(client, {
      input,
      part,
      name: `part ${at + 1} of ${parts.length}`,
      filename: `${id}-${at + 1}.jsonl`,
      uploaded,
      context,
    });
    const metadata = { ...request.metadata, ...groupMetadata(id, { part: at + 1, of: parts.length, requests: part.requests }) };
    const body = { input_file_id: file.id, endpoint: request.endpoint, completion_window: request.completion_window, metadata };
    onBatch(await createWhenPossible(client, { body, key: `${id}-${at + 1}`, context }));
  }
  return await findGroup(client, id);
}

/** Checks all lines, and custom_ids over all parts. Throws what is wrong before anything is sent. */
async function scanAll(
  input: OpenInput,
  endpoint: string,
  { limits, context }: { limits: Limits; context: Context },
): Promise<ScannedInput> {
  const { output, signal } = context;
  const progress = createTransfers(output).begin(`checking ${input.name}`);
  const found = await scanInput(input, { endpoint, limits, signal, onBytes: progress.onBytes }).finally(progress.end);
  const { errors, requests, parts } = found;
  if (errors.length === 0) {
    output.note(`${input.name} has ${count(requests)} requests, which need ${parts.length} batches.`);
    return found;
  }
  for (const each of errors.slice(0, FAULTS_SHOWN)) output.warn(describeFault(each));
  throw new CommandError(
    `${input.name} has ${count(errors.length)} faults, so nothing was sent. All of them: nightshift check ${input.name}`,
  );
}

async function uploadPart(
  client: ApiClient,
  given: { input: OpenInput; part: ScannedPart; name: string; filename: string; uploaded: readonly File[]; context: Context },
): Promise<File> {
  const { input, part, name, filename, uploaded, context } = given;
  const bytes = part.end - part.start;
  const there = uploaded.find((file) => file.filename === filename && file.bytes === bytes && file.purpose === 'batch');
  if (there !== undefined) return there;
  const nothing = async () => await Promise.resolve();
  const content = { name, filename, path: input.path, start: part.start, bytes, [Symbol.asyncDispose]: nothing };
  return await uploadShown(client, content, context);
}

/** A tenant may have to wait until some of its batches have ended. */
async function createWhenPossible(
  client: ApiClient,
  { body, key, context: { output, signal } }: { body: Parameters<ApiClient['createBatch']>[0]; key: string; context: Context },
): Promise<Batch> {
  let isTold = false;
  for (;;) {
    try {
      return await client.createBatch(body, key);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ApiFault) || error.status !== 429) throw error;
      const waitMs = Math.max(FULL_MS, error.retryAfterMs ?? 0);
      if (!isTold) output.note(`${error.message} Trying every ${duration(waitMs / 1000)} until it is taken.`);
      isTold = true;
      await delay(waitMs, undefined, { signal });
    }
  }
}

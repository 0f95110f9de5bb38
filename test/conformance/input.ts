import assert from 'node:assert/strict';
import type OpenAI from 'openai';
import { toFile } from 'openai';
import { ended } from '../helpers/lines.ts';

/** Uploads these bytes and makes a chat batch of them, or one of another endpoint. */
export async function submitBytes(
  client: OpenAI,
  content: Buffer | string,
  endpoint: OpenAI.BatchCreateParams['endpoint'] = '/v1/chat/completions',
): Promise<OpenAI.Batch> {
  const file = await client.files.create({ file: await toFile(Buffer.from(content), 'input.jsonl'), purpose: 'batch' });
  return await client.batches.create({ input_file_id: file.id, endpoint, completion_window: '24h' });
}

/** A request line as an object, to be broken on purpose; `body` members are added to a valid body. */
export function requestLine(
  customId: unknown,
  changes: Record<string, unknown> = {},
  body: Record<string, unknown> = {},
): Record<string, unknown> {
  const messages = [{ role: 'user', content: 'Hello' }];
  return {
    custom_id: customId,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model: 'example-model', messages, ...body },
    ...changes,
  };
}

/** Objects become JSON, text stays as it is; each with a line break. */
export function jsonl(lines: readonly (object | string)[]): string {
  return lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('');
}

/** Waits until the batch has failed and holds it to look as one that failed before anything ran; answers its errors. */
export async function failedErrors(client: OpenAI, created: OpenAI.Batch, seconds = 120): Promise<OpenAI.BatchError[]> {
  const batch = await ended(client, created.id, seconds);
  assert.equal(batch.status, 'failed');
  assert.ok(Number.isInteger(batch.failed_at));
  const { in_progress_at, output_file_id, error_file_id, request_counts, errors } = batch;
  assert.deepEqual(
    { in_progress_at, output_file_id, error_file_id, request_counts },
    { in_progress_at: null, output_file_id: null, error_file_id: null, request_counts: { total: 0, completed: 0, failed: 0 } },
  );
  assert.equal(errors?.object, 'list');
  return errors?.data ?? [];
}

/** What is compared of an error where the contract gives no text. */
export function placeOf({ code, line, param }: OpenAI.BatchError): { code?: string; line?: number | null; param?: string | null } {
  return { ...(code === undefined ? {} : { code }), ...(line === undefined ? {} : { line }), ...(param === undefined ? {} : { param }) };
}

import { toFile } from 'openai';
import type OpenAI from 'openai';
import { until } from './until.ts';

/** One input line for `/v1/chat/completions`; `script` goes to the example upstream as its per-request script. */
export function chatLine(customId: string, script?: string): string {
  const body = {
    model: 'example-model',
    messages: [{ role: 'user', content: `Say ${customId}` }],
    ...(script === undefined ? {} : { user: script }),
  };
  return JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/chat/completions', body });
}

/** `count` valid chat lines with custom_ids `<prefix>1…`. */
export function chatLines(count: number, prefix = 'line-'): string {
  return Array.from({ length: count }, (_, index) => `${chatLine(`${prefix}${index + 1}`)}\n`).join('');
}

/** Uploads the text and makes a batch of it. */
export async function submit(client: OpenAI, text: string, options: Partial<OpenAI.BatchCreateParams> = {}): Promise<OpenAI.Batch> {
  const file = await client.files.create({ file: await toFile(Buffer.from(text), 'input.jsonl'), purpose: 'batch' });
  return await client.batches.create({ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h', ...options });
}

const TERMINAL = new Set(['completed', 'failed', 'expired', 'cancelled']);

/** Polls until the batch has ended and answers it. */
export async function ended(client: OpenAI, id: string, seconds = 120): Promise<OpenAI.Batch> {
  return await until(
    async () => {
      const batch = await client.batches.retrieve(id);
      return TERMINAL.has(batch.status) ? batch : null;
    },
    { what: `batch ${id} to end`, seconds, everyMs: 100, upToMs: 1_000 },
  );
}

/** One line of an output or error file. */
export interface ResultLine {
  id: string;
  custom_id: string;
  response: { status_code: number; request_id: string; body: Record<string, unknown> } | null;
  error: { code: string; message: string } | null;
}

/** The lines of a result file; none when there is no file. */
export async function resultLines(client: OpenAI, fileId: string | null | undefined): Promise<ResultLine[]> {
  if (fileId === null || fileId === undefined) return [];
  const text = await (await client.files.content(fileId)).text();
  if (!text.endsWith('\n')) throw new Error('the last line has no line break');
  return text
    .slice(0, -1)
    .split('\n')
    .map((line): ResultLine => JSON.parse(line));
}

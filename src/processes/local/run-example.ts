import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createApiClient } from '../../cli/api-client.ts';
import { createHttp } from '../../cli/http.ts';
import { openInput } from '../../cli/open-input.ts';
import { saveResults } from '../../cli/save-results.ts';
import { waitForBatch } from '../../cli/wait-for-batch.ts';

const EXAMPLE = fileURLToPath(new URL('../../../examples/first-batch.jsonl', import.meta.url));
const LINES_SHOWN = 3;

/** Sends the example batch through the API like any client, shows how it goes and what comes out. Answers whether it is completed. */
export async function runExample(api: { baseUrl: string; apiKey: string | null }, dataDir: string, signal: AbortSignal): Promise<boolean> {
  const out = process.stdout;
  const address = { ...api, baseUrlFrom: 'NIGHTSHIFT_API_PORT', keyHint: 'Set NIGHTSHIFT_API_KEY to one of its keys.' };
  const client = createApiClient(createHttp({ address, signal }));
  await using input = await openInput(EXAMPLE, { stdin: process.stdin, signal });
  const file = await client.uploadFile(input);
  const batch = await client.createBatch(
    {
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { example: 'first-batch' },
    },
    randomUUID(),
  );
  out.write(`\nThe example batch ${batch.id}, from examples/first-batch.jsonl:\n`);
  const ended = await waitForBatch(client, batch.id, { screen: out, signal });
  const saved = await saveResults(client, ended, { folder: join(dataDir, 'results') });
  for (const error of ended.errors?.data ?? []) out.write(`  ${error.message}\n`);
  for (const path of [saved.output, saved.error].filter((each) => each !== null)) {
    out.write(`\n${path}\n`);
    for (const line of await firstLines(path)) out.write(`  ${line.length > 200 ? `${line.slice(0, 200)}…` : line}\n`);
  }
  return ended.status === 'completed';
}

async function firstLines(path: string): Promise<string[]> {
  const lines: string[] = [];
  const input = createReadStream(path);
  for await (const line of createInterface({ input })) {
    lines.push(line);
    if (lines.length === LINES_SHOWN) break;
  }
  input.destroy();
  return lines;
}

// Runs a file of chat requests as a batch and prints every answer with its custom_id.
//
//     npm install openai
//     node run-batch.mjs requests.jsonl
//
// The requests that failed are written to requests.failed.jsonl, so that you can correct them and run that file.

import { createReadStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { argv, env, exit } from 'node:process';
import { setTimeout } from 'node:timers/promises';
import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: env['NIGHTSHIFT_BASE_URL'] ?? 'http://127.0.0.1:7800/v1',
  apiKey: env['NIGHTSHIFT_API_KEY'] ?? 'local-key',
});

async function runBatch(path, endpoint) {
  const file = await client.files.create({ file: createReadStream(path), purpose: 'batch' });
  let batch = await client.batches.create({ input_file_id: file.id, endpoint, completion_window: '24h' });
  for (
    let pauseMs = 500;
    !['completed', 'failed', 'expired', 'cancelled'].includes(batch.status);
    pauseMs = Math.min(2 * pauseMs, 30_000)
  ) {
    await setTimeout(pauseMs);
    batch = await client.batches.retrieve(batch.id);
  }
  return batch;
}

/** The result lines of a batch by custom_id. */
async function readResults(batch) {
  const results = new Map();
  for (const fileId of [batch.output_file_id, batch.error_file_id]) {
    if (!fileId) continue;
    for (const line of linesOf(await (await client.files.content(fileId)).text())) {
      const result = JSON.parse(line);
      results.set(result.custom_id, result);
    }
  }
  return results;
}

/** Whether a request succeeded, and its answer or the reason why it failed. */
function describe({ response, error }) {
  if (response === null) return { succeeded: false, text: error.message };
  const { status_code: status, body } = response;
  if (status === 200) return { succeeded: true, text: body.choices[0].message.content };
  return { succeeded: false, text: `${status} ${body.error.message}` };
}

function linesOf(text) {
  return text.split('\n').filter((line) => line.trim() !== '');
}

const [, , path = ''] = argv;
const requests = linesOf(await readFile(path, 'utf8'));
const batch = await runBatch(path, JSON.parse(requests[0]).url);
if (batch.status === 'failed') {
  for (const { line, message } of batch.errors.data) console.error(`line ${line}: ${message}`);
  exit(1);
}

const results = await readResults(batch);
const failed = requests.filter((request) => {
  const { custom_id: customId } = JSON.parse(request);
  const { succeeded, text } = describe(results.get(customId));
  console.log(`${customId}\t${succeeded ? 'ok' : 'failed'}\t${text.trim().replaceAll(/\s+/g, ' ')}`);
  return !succeeded;
});

if (failed.length > 0) {
  const retry = path.replace(/(\.jsonl)?$/, '.failed.jsonl');
  await writeFile(retry, failed.map((request) => `${request}\n`).join(''));
  console.error(`Failed requests: ${failed.length}. Correct them in ${retry}, then run that file.`);
}

import type OpenAI from 'openai';
import { type Call, md5 } from './calls.ts';
import { type MadeInput, NOTHING_PLANTED } from './make-input.ts';
import { sumOf } from './usage.ts';
import type { ShardSum } from './watch-batches.ts';

export const [ID, TENANT] = ['batch_1', 'tenant-1'];

/** What the checks of a batch look at; files as their rows. */
export interface Facts {
  batch: OpenAI.Batch;
  output: string[];
  errors: string[];
  input: MadeInput;
  /** By line. */
  calls: Call[][];
  shards: ShardSum | null;
}

/** A batch of four lines that went well but for the third, which was refused; every test doctors one thing in it. */
export function facts(): Facts {
  const customIds = ['a', 'b', 'c', 'd'];
  const requests = customIds.map((id) => `{"ask":"${id}"}`);
  const reported = [
    '"prompt_tokens":2,"completion_tokens":3,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}',
    '"input_tokens":2,"output_tokens":3,"total_tokens":5,"output_tokens_details":{"reasoning_tokens":1}',
    '"total_tokens":900',
    '"prompt_tokens":5,"total_tokens":5',
  ];
  const bodies = customIds.map((id, index) => `{ "answer":"${id}", "usage":{${reported[index]}} }`);
  const statuses = [200, 200, 400, 200];
  const calls = customIds.map((_, index): Call[] => [
    {
      key: `${ID}-${index + 1}`,
      worker: 'worker-1',
      requestHash: md5(requests[index] ?? ''),
      sentAtMs: 1_000,
      endedAtMs: 2_000,
      end: 'answered',
      status: statuses[index] ?? null,
      answerHash: md5(bodies[index] ?? ''),
    },
  ]);
  const row = (index: number, error = 'null') => {
    const response = `{"status_code":${statuses[index]},"request_id":"r","body":${bodies[index]}}`;
    return `{"id":"line_${index}","custom_id":"${customIds[index]}","response":${response},"error":${error}}\n`;
  };
  const batch: OpenAI.Batch = {
    id: ID,
    object: 'batch',
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    input_file_id: 'file-in',
    output_file_id: 'file-out',
    error_file_id: 'file-err',
    status: 'completed',
    created_at: 10,
    expires_at: 10 + 86_400,
    in_progress_at: 11,
    finalizing_at: 12,
    completed_at: 13,
    request_counts: { total: 4, completed: 3, failed: 1 },
    usage: {
      input_tokens: 9,
      output_tokens: 6,
      total_tokens: 15,
      input_tokens_details: { cached_tokens: 1 },
      output_tokens_details: { reasoning_tokens: 1 },
    },
  };
  return {
    batch,
    output: [row(0), row(1), row(3)],
    errors: [row(2)],
    input: {
      tenant: TENANT,
      customIds,
      bodyHashes: requests.map(md5),
      poison: null,
      textHash: 'x',
      window: '24h',
      wrongLine: null,
      planted: customIds.map(() => NOTHING_PLANTED),
    },
    calls,
    shards: null,
  };
}

/** What the shard results of these facts amount to. */
export function shardsOf({ batch, output, errors }: Facts): ShardSum {
  return {
    completed: 3,
    failed: 1,
    notRun: 0,
    usage: sumOf(batch.usage ? [batch.usage] : []),
    outputHash: md5(output.join('')),
    errorHash: md5(errors.join('')),
  };
}

import type OpenAI from 'openai';
import type { Call } from './calls.ts';
import { md5 } from './calls.ts';
import type { Input } from './load.ts';
import type { ResultFile, Results } from './read-results.ts';
import type { ShardSum } from './watch-batches.ts';

interface Line {
  id: string;
  custom_id: string;
  response: { status_code: number; body: { usage?: Record<string, number> } } | null;
  error: { code: string } | null;
}

const NOT_RUN: readonly string[] = ['batch_cancelled', 'batch_expired'];
const BODY = '"body":';

/** What a batch that ended owes to whoever made it; answers what is wrong with it, and its lines. */
export function checkBatch(given: {
  batch: OpenAI.Batch;
  results: Results;
  input: Input;
  callsOf: ReadonlyMap<string, readonly Call[]>;
  shards: ShardSum | null;
}): { complaints: string[]; lines: number } {
  const { batch, results, input, callsOf, shards } = given;
  const complaints: string[] = [];
  const complain = (what: string) => void complaints.push(`${batch.id} (${batch.status}): ${what}`);
  checkTimes(batch, complain);
  if (batch.status === 'failed') complain(`failed: ${JSON.stringify(batch.errors)}`);

  if (!batch.in_progress_at) {
    if (batch.output_file_id || batch.error_file_id) complain('has files, and never started');
    return { complaints, lines: 0 };
  }

  function read(name: string, file: ResultFile | null): { bytes: Buffer; rows: string[]; lines: Line[] } {
    if (file === 'unreadable') complain(`the ${name} file cannot be read`);
    if (file === null || file === 'unreadable') return { bytes: Buffer.alloc(0), rows: [], lines: [] };
    const { bytes, recordBytes } = file;
    if (recordBytes !== bytes.length) complain(`the ${name} file has another size than its record says`);
    const rows = bytes.toString().split('\n');
    if (rows.pop() !== '') complain(`the last line of the ${name} file has no line break`);
    return { bytes, rows, lines: rows.map((row): Line => JSON.parse(row)) };
  }

  const [output, error] = [read('output', results.output), read('error', results.error)];
  const place = new Map(input.customIds.map((id, index) => [id, index]));
  for (const { lines } of [output, error]) {
    const places = lines.map((line) => place.get(line.custom_id) ?? -1);
    if (places.some((here, index) => here < 0 || here <= (places[index - 1] ?? -1))) complain('lines are unknown, twice or out of order');
  }
  const all = [...output.lines, ...error.lines];
  const seen = new Set(all.map((line) => line.custom_id));
  if (seen.size !== all.length) complain(`${all.length - seen.size} custom_ids are there twice`);
  if (seen.size !== input.customIds.length) complain(`${input.customIds.length - seen.size} lines of ${input.customIds.length} are lost`);
  if (new Set(all.map((line) => line.id)).size !== all.length) complain('ids of lines are there twice');

  const notRun = error.lines.filter((line) => NOT_RUN.includes(line.error?.code ?? '')).length;
  if (batch.status === 'completed' && notRun > 0) complain(`${notRun} lines never ran`);
  const counts = { total: input.customIds.length, completed: output.lines.length, failed: error.lines.length - notRun };
  if (JSON.stringify(batch.request_counts) !== JSON.stringify(counts))
    complain(`counts ${JSON.stringify(batch.request_counts)}, lines ${JSON.stringify(counts)}`);
  const crashed = error.lines.filter((line) => line.error?.code === 'request_crashed_worker').map((line) => line.custom_id);
  // Nobody ends a poisonous request but us: it has no answer, and every other line has one.
  const poisonous = input.poison === null ? [] : [input.poison];
  if (crashed.join() !== poisonous.join())
    complain(`said to have crashed their worker: ${crashed.join() || 'none'}; did: ${poisonous.join() || 'none'}`);

  let tokens = 0;
  for (const [index, line] of output.lines.entries()) {
    tokens += line.response?.body.usage?.['total_tokens'] ?? 0;
    const row = output.rows[index] ?? '';
    // The exact bytes of the answer are in the line, last but the error member.
    const body = row.slice(row.indexOf(BODY) + BODY.length, row.lastIndexOf('}', row.lastIndexOf(',"error"')));
    const calls = callsOf.get(`${batch.id}-${(place.get(line.custom_id) ?? -1) + 1}`) ?? [];
    if (!calls.some((call) => call.answerHash === md5(body)))
      complain(`${line.custom_id} has bytes that nobody answered: ${row.slice(0, 300)}`);
  }
  if ((batch.usage?.total_tokens ?? 0) !== tokens) complain(`usage ${batch.usage?.total_tokens}, sum of the lines ${tokens}`);
  for (const [index, expected] of input.bodyHashes.entries()) {
    const calls = callsOf.get(`${batch.id}-${index + 1}`) ?? [];
    if (calls.some((call) => call.requestHash !== expected)) complain(`line ${index + 1} was sent with other bytes`);
  }

  if (shards !== null) {
    const hashOf = (bytes: Buffer) => (bytes.length === 0 ? null : md5(bytes));
    if (shards.outputHash !== hashOf(output.bytes)) complain('the output file is not what the shard results name');
    if (shards.errorHash !== hashOf(error.bytes)) complain('the error file is not what the shard results name');
    if (shards.completed !== counts.completed) complain('the shard results have other counts');
  }
  return { complaints, lines: all.length };
}

function checkTimes(batch: OpenAI.Batch, complain: (what: string) => void): void {
  const order = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.cancelling_at];
  const end = [batch.completed_at, batch.failed_at, batch.expired_at, batch.cancelled_at].filter((time) => time);
  const times = [...order, ...end].filter((time) => typeof time === 'number');
  if (times.some((time, index) => time < (times[index - 1] ?? 0))) complain(`times out of order: ${times.join(' ')}`);
  if (end.length !== 1) complain(`${end.length} times of an end`);
  const expected = { completed: batch.completed_at, failed: batch.failed_at, expired: batch.expired_at, cancelled: batch.cancelled_at };
  if (!Object.entries(expected).some(([status, time]) => status === batch.status && time)) complain('the time of its end is another one');
}

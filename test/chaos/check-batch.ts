import type OpenAI from 'openai';
import type { Call } from './calls.ts';
import { md5 } from './calls.ts';
import type { Input } from './make-input.ts';
import type { ResultFile, Results } from './read-results.ts';
import { isSameUsage, type ReportedUsage, sumOf, usageOf } from './usage.ts';
import type { ShardSum } from './watch-batches.ts';

interface Line {
  id: string;
  custom_id: string;
  response: { status_code: number; body: { usage?: ReportedUsage } } | null;
  error: { code: string } | null;
}

interface LinesOf {
  bytes: Buffer;
  rows: string[];
  lines: Line[];
}

const NOT_RUN: readonly string[] = ['batch_cancelled', 'batch_expired'];
const CRASHED = 'request_crashed_worker';
const BODY = '"body":';
/** Tries in vain after which a request ends with what the last of them was answered: faults, and refusals. */
const MOST_FAULTS = 5;
const MOST_REFUSALS = 20;

/** What a batch that ended owes to whoever made it, however it ended; answers what is wrong with it, its lines, and those of them that faults ended. */
export function checkBatch(given: {
  batch: OpenAI.Batch;
  results: Results;
  input: Input;
  callsOf: ReadonlyMap<string, readonly Call[]>;
  /** Tries of a line that failed through its own doing, by the key of its calls. */
  ownFaultsOf: (key: string) => number;
  shards: ShardSum | null;
}): { complaints: string[]; lines: number; endedByFaults: string[] } {
  const { batch, results, input, callsOf, ownFaultsOf, shards } = given;
  const complaints: string[] = [];
  const complain = (what: string) => void complaints.push(`${batch.id} (${batch.status}): ${what}`);
  checkTimes(batch, complain);

  if (!batch.in_progress_at) {
    if (batch.output_file_id || batch.error_file_id) complain('has files, and never started');
    return { complaints, lines: 0, endedByFaults: [] };
  }

  function read(name: string, file: ResultFile | null): LinesOf {
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
  const keyOf = (index: number) => `${batch.id}-${index + 1}`;
  const callsOfLine = (index: number) => callsOf.get(keyOf(index)) ?? [];
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
  const counts = { total: input.customIds.length, completed: output.lines.length, failed: error.lines.length - notRun };
  if (JSON.stringify(batch.request_counts) !== JSON.stringify(counts))
    complain(`counts ${JSON.stringify(batch.request_counts)}, lines ${JSON.stringify(counts)}`);
  checkUnanswered(batch, all, input, complain);
  const historyOf = (customId: string): History => {
    const index = place.get(customId) ?? -1;
    return { calls: callsOfLine(index), ownFaults: ownFaultsOf(keyOf(index)) };
  };
  const endedByFaults = checkAnswers(output, error, historyOf, complain);
  const usage = sumOf(output.lines.map(({ response }) => usageOf(response?.body.usage)));
  if (!isSameUsage(batch.usage, usage)) complain(`usage ${JSON.stringify(batch.usage)}, sum of the lines ${JSON.stringify(usage)}`);
  for (const [index, expected] of input.bodyHashes.entries()) {
    if (callsOfLine(index).some((call) => call.requestHash !== expected)) complain(`line ${index + 1} was sent with other bytes`);
  }

  if (shards !== null) {
    const hashOf = (bytes: Buffer) => (bytes.length === 0 ? null : md5(bytes));
    if (shards.outputHash !== hashOf(output.bytes)) complain('the output file is not what the shard results name');
    if (shards.errorHash !== hashOf(error.bytes)) complain('the error file is not what the shard results name');
    const { completed, failed } = counts;
    if (shards.completed !== completed || shards.failed !== failed || shards.notRun !== notRun)
      complain(`the shard results have other counts: ${shards.completed} completed, ${shards.failed} failed, ${shards.notRun} not run`);
    if (!isSameUsage(shards.usage, usage)) complain(`the shard results have another usage: ${JSON.stringify(shards.usage)}`);
  }
  return { complaints, lines: all.length, endedByFaults };
}

/** What went upstream for a line, and how many of these tries failed through its own doing. */
interface History {
  calls: readonly Call[];
  ownFaults: number;
}

/** Every line that ran holds, byte for byte, what its last call was answered, and only as many tries in vain as end a request end one: answers those. */
function checkAnswers(
  output: LinesOf,
  error: LinesOf,
  historyOf: (customId: string) => History,
  complain: (what: string) => void,
): string[] {
  const ended: string[] = [];
  for (const { custom_id, response, error: its } of error.lines) {
    const code = its?.code ?? '';
    if (response !== null || code === CRASHED || NOT_RUN.includes(code)) continue;
    // A script begins again with an upstream that dies, and so may fail a line as often as ends it.
    const { ownFaults } = historyOf(custom_id);
    ended.push(`${custom_id}: ${code} after ${ownFaults} faults of its own`);
    if (ownFaults < MOST_FAULTS) complain(`${custom_id} was given up after ${ownFaults} faults of its own: ${code}`);
  }
  for (const { rows, lines } of [output, error]) {
    for (const [index, { custom_id, response }] of lines.entries()) {
      if (response === null) continue;
      const row = rows[index] ?? '';
      const { status_code } = response;
      if ((lines === output.lines) !== (status_code >= 200 && status_code < 300))
        complain(`${custom_id} was answered ${status_code} and stands in the other file`);
      // The exact bytes of the answer are in the line, last but the error member.
      const body = row.slice(row.indexOf(BODY) + BODY.length, row.lastIndexOf('}', row.lastIndexOf(',"error"')));
      const { calls, ownFaults } = historyOf(custom_id);
      const isLast = ownFaults >= (status_code === 503 ? MOST_REFUSALS : MOST_FAULTS);
      const same = calls.filter(({ status, answerHash }) => status === status_code && answerHash === md5(body));
      if (same.some(({ end }) => end === 'answered')) continue;
      const ends = calls.map(({ end }) => end);
      ended.push(`${custom_id}: ${status_code} after ${ends.join(', ')}`);
      if (!isLast || same.length === 0)
        complain(`${custom_id} has bytes or a status that nobody answered (${ends.join(', ')}): ${row.slice(0, 300)}`);
    }
  }
  return ended;
}

/** A line never ran because its batch ended first, and only poison crashes a worker. */
function checkUnanswered(batch: OpenAI.Batch, lines: readonly Line[], input: Input, complain: (what: string) => void): void {
  const { status, expires_at = Infinity, cancelled_at = 0 } = batch;
  const reasons = {
    batch_cancelled: status === 'cancelled',
    // Some shards may have been closed by the end of the window before a cancel came.
    batch_expired: status === 'expired' || (status === 'cancelled' && cancelled_at >= expires_at),
  };
  for (const code of ['batch_cancelled', 'batch_expired'] as const) {
    const count = lines.filter(({ error }) => error?.code === code).length;
    if (count > 0 && !reasons[code]) complain(`${count} lines never ran, as ${code}`);
  }
  const crashed = lines.filter(({ error }) => error?.code === CRASHED).map((line) => line.custom_id);
  // Nobody ends a poisonous request but us: it has no answer, and every other line has one.
  const poisonous = input.poison === null ? [] : [input.poison];
  if (crashed.join() !== poisonous.join())
    complain(`said to have crashed their worker: ${crashed.join() || 'none'}; did: ${poisonous.join() || 'none'}`);
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

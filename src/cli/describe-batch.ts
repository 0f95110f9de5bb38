import { describeRows, type Row } from './describe-rows.ts';
import { createGroups, describePlaces } from './group-equal.ts';
import { count, duration } from './progress-line.ts';
import { type Batch, type BatchError, isTerminal } from '../domain/batch.ts';
import { pausedAt } from '../domain/pause.ts';

/** A batch in some lines for people. Times are UTC. */
export function describeBatch(batch: Batch): string {
  const { total, completed, failed } = batch.request_counts;
  const end = endedAt(batch);
  const paused = pausedAt(batch);
  const tokens = `${count(batch.usage.input_tokens)} in, ${count(batch.usage.output_tokens)} out`;
  return describeRows([
    ['batch', batch.id],
    ['status', paused === null ? batch.status : `${batch.status}, paused since ${utc(paused)}`],
    ['endpoint', batch.endpoint],
    ['model', batch.model],
    ['requests', `${count(completed)} completed, ${count(failed)} failed, ${count(total)} in all`],
    ['tokens', batch.usage.total_tokens === 0 ? null : tokens],
    ['created', utc(batch.created_at)],
    end === null
      ? ['expires', batch.expires_at === 0 ? null : utc(batch.expires_at)]
      : ['ended', `${utc(end)}, after ${duration(end - batch.created_at)}`],
    ['input file', batch.input_file_id],
    ['output file', batch.output_file_id],
    ['error file', batch.error_file_id],
    ['metadata', describeMetadata(batch)],
    ...describeWaiting(batch).map((text): Row => ['waiting', text]),
    ...describeFailures(batch).map((text): Row => ['failed', text]),
    ...describeErrors(batch).map((text): Row => ['error', text]),
  ]);
}

/** `line 3: Invalid url … (invalid_url)`. */
export function describeFault({ line, code, message }: BatchError): string {
  return `${line === null ? '' : `line ${line}: `}${message} (${code})`;
}

/** The faults of the input, equal ones together. */
export function describeErrors({ errors }: Pick<Batch, 'errors'>): string[] {
  const groups = createGroups();
  for (const { line, code, message } of errors?.data ?? []) groups.add(`${message} (${code})`, line == null ? null : String(line));
  return groups.all().map((group) => {
    const places = describePlaces(group, 'line');
    return places === '' ? group.text : `${places}: ${group.text}`;
  });
}

/** Why lines wait, a sentence for each reason, the one with most lines first. */
export function describeWaiting({ nightshift }: Pick<Batch, 'nightshift'>): string[] {
  return (nightshift?.waiting ?? []).map(({ message, lines }) => (lines === null ? message : `${message} (${linesInWords(lines)})`));
}

/** Why lines failed, the most frequent cause first: `120 lines: 400 invalid_request_error: … (a, b, c, …)`. */
export function describeFailures({ nightshift }: Pick<Batch, 'nightshift'>): string[] {
  return (nightshift?.failures ?? []).map(({ status, code, message, lines, custom_ids }) => {
    const cause = [status === null ? code : `${status} ${code}`, message].filter((each) => each !== '').join(': ');
    const more = lines > custom_ids.length ? ', …' : '';
    return `${linesInWords(lines)}: ${cause} (${custom_ids.join(', ')}${more})`;
  });
}

function linesInWords(lines: number): string {
  return lines === 1 ? '1 line' : `${count(lines)} lines`;
}

/** `{"team":"nights"}`; null without metadata. */
export function describeMetadata({ metadata }: Pick<Batch, 'metadata'>): string | null {
  return metadata === null || Object.keys(metadata).length === 0 ? null : JSON.stringify(metadata);
}

/** When a batch ended, in Unix seconds; null while it has not. */
function endedAt(batch: Batch): number | null {
  return isTerminal(batch.status) ? (batch.completed_at ?? batch.failed_at ?? batch.expired_at ?? batch.cancelled_at) : null;
}

/** `2026-11-23 20:15:01`, from Unix seconds. */
export function utc(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().slice(0, 19).replace('T', ' ');
}

import { count, duration } from './progress-line.ts';
import type { Batch } from '../domain/batch.ts';

/** A batch in some lines for people. Times are UTC. */
export function describeBatch(batch: Batch): string {
  const { total, completed, failed } = batch.request_counts;
  const end = batch.completed_at ?? batch.failed_at ?? batch.expired_at ?? batch.cancelled_at;
  const rows: [string, string | null][] = [
    ['batch', batch.id],
    ['status', batch.status],
    ['endpoint', batch.endpoint],
    ['model', batch.model],
    ['requests', `${count(completed)} completed, ${count(failed)} failed, ${count(total)} in all`],
    ['tokens', batch.usage.total_tokens === 0 ? null : `${count(batch.usage.input_tokens)} in, ${count(batch.usage.output_tokens)} out`],
    ['created', utc(batch.created_at)],
    [end === null ? 'expires' : 'ended', end === null ? utc(batch.expires_at) : `${utc(end)}, after ${duration(end - batch.created_at)}`],
    ['input file', batch.input_file_id],
    ['output file', batch.output_file_id],
    ['error file', batch.error_file_id],
    ['metadata', batch.metadata === null || Object.keys(batch.metadata).length === 0 ? null : JSON.stringify(batch.metadata)],
  ];
  const lines = rows.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(12)}${value}`]));
  for (const { line, code, message } of batch.errors?.data ?? [])
    lines.push(`${'error'.padEnd(12)}${line === null ? '' : `line ${line}: `}${message} (${code})`);
  return `${lines.join('\n')}\n`;
}

/** `2026-11-23 20:15:01`, from Unix seconds. */
export function utc(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
}

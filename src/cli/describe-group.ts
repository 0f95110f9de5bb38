import { batchesOf, type Group, lastBatches, lastOf, sumOf } from './group.ts';
import { describeErrors, utc } from './describe-batch.ts';
import { describeRows, type Row } from './describe-rows.ts';
import { count } from './progress-line.ts';

/** A group in some lines for people: sums, and each part that did not complete. */
export function describeGroup(group: Group): string {
  const { request_counts: counts, usage, created_at, status, endpoint } = sumOf(group);
  const byStatus = Map.groupBy(lastBatches(group), (batch) => batch.status);
  const missing = group.parts.filter(({ batches }) => batches.length === 0);
  return describeRows([
    ['group', group.id],
    ['status', status],
    ['batches', `${batchesOf(group).length}: ${[...byStatus].map(([name, some]) => `${some.length} ${name}`).join(', ')}`],
    ['endpoint', endpoint],
    ['requests', `${count(counts.completed)} completed, ${count(counts.failed)} failed, ${count(counts.total)} in all`],
    ['tokens', usage.total_tokens === 0 ? null : `${count(usage.input_tokens)} in, ${count(usage.output_tokens)} out`],
    ['created', utc(created_at)],
    ...faultyParts(group).map((text): Row => ['part', text]),
    ['missing', missing.length === 0 ? null : `${describeMissing(group)}. Submit the same input again to go on.`],
  ]);
}

/** `2 of 12 parts were not submitted: 11, 12`. */
export function describeMissing({ parts }: Group): string {
  const missing = parts.filter(({ batches }) => batches.length === 0).map(({ part }) => part);
  return `${missing.length} of ${parts.length} parts were not submitted: ${missing.join(', ')}`;
}

function faultyParts({ parts }: Group): string[] {
  return parts.flatMap(({ part, batches }) =>
    lastOf(batches).flatMap((batch) => {
      const { status, request_counts: counts } = batch;
      if (status === 'failed' || status === 'expired' || status === 'cancelled') {
        const [reason] = describeErrors(batch);
        return [`${part}, ${batch.id} is ${status}${reason === undefined ? '' : `: ${reason}`}`];
      }
      return counts.failed > 0 ? [`${part}, ${batch.id}: ${count(counts.failed)} requests failed`] : [];
    }),
  );
}

import { type Batch, BATCH_STATUSES } from '../domain/batch.ts';
import { invalidType } from './errors/parameter-errors.ts';
import { readChoices } from './read-choices.ts';
import type { BatchFilter } from '../storage/batch-store.ts';

const METADATA = /^metadata\[(?<key>.+)\]$/s;

/**
 * Reads what a list of batches is narrowed to: `status` (one or several with commas between), `metadata[key]=value`, and `created_after`
 * and `created_before` (Unix seconds, both exclusive). Throws the 400 for a status that does not exist and a time that is none.
 */
export function readBatchFilter(query: URLSearchParams): BatchFilter {
  const statuses = readChoices(query, 'status', BATCH_STATUSES);
  const metadata = [...query].flatMap(([name, value]) => {
    const key = METADATA.exec(name)?.groups?.['key'];
    return key === undefined ? [] : [[key, value] as const];
  });
  const matches = ({ status, metadata: found }: Batch): boolean =>
    (statuses.length === 0 || statuses.includes(status)) &&
    metadata.every(([key, value]) => Object.hasOwn(found ?? {}, key) && found?.[key] === value);
  return {
    matches: statuses.length === 0 && metadata.length === 0 ? null : matches,
    createdAfter: readSeconds(query, 'created_after'),
    createdBefore: readSeconds(query, 'created_before'),
  };
}

function readSeconds(query: URLSearchParams, param: string): number | null {
  const given = query.get(param);
  if (given === null || given === '') return null;
  if (!/^\d{1,15}$/.test(given)) throw invalidType(param, 'an integer', 'a string');
  return Number(given);
}

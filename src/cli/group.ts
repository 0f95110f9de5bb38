import { createHash } from 'node:crypto';
import type { ApiClient } from './api-client.ts';
import { CommandError } from './command-error.ts';
import type { ScannedPart } from './scan-input.ts';
import { addUsage, type Batch, type BatchStatus, isTerminal, zeroUsage } from '../domain/batch.ts';

/** Several batches that were made of one input. They are found by their metadata, so that nothing is kept on this machine. */
export interface Group {
  id: string;
  /** By part; one that was never submitted has no batches. */
  parts: GroupPart[];
}

export interface GroupPart {
  /** Number of the part, from 1. */
  part: number;
  /** Null where no batch of the part is there. */
  requests: number | null;
  /** Oldest first: the batch of the part, and those that run lines of it again. */
  batches: Batch[];
}

const GROUP_KEY = 'nightshift_group';
const PART_KEY = 'nightshift_part';
const PAGE = 100;

/** Whether an id is that of a group. No API has such ids for batches. */
export function isGroupId(id: string): boolean {
  return /^group_[0-9a-f]{24}$/.test(id);
}

/** The id follows from what is to be run, so that the same command finds its batches again. `salt` makes another one of the same. */
export function groupIdOf(parts: readonly ScannedPart[], request: object, salt: string): string {
  const content = JSON.stringify([parts.map(({ sha256 }) => sha256), request, salt]);
  return `group_${createHash('sha256').update(content).digest('hex').slice(0, 24)}`;
}

/** What is put into the metadata of a batch. */
export function groupMetadata(group: string, part: { part: number; of: number; requests: number }): Record<string, string> {
  return { [GROUP_KEY]: group, [PART_KEY]: `${part.part} of ${part.of}, ${part.requests} requests` };
}

/** Finds the batches of a group. Throws where there is none, unless `mayBeMissing`. */
export async function findGroup(client: Pick<ApiClient, 'listBatches'>, id: string, { mayBeMissing = false } = {}): Promise<Group> {
  const found: Batch[] = [];
  let after: string | null = null;
  for (;;) {
    const page = await client.listBatches({ limit: PAGE, after, metadata: { [GROUP_KEY]: id } });
    // An API that cannot choose lists all.
    found.push(...page.data.filter(({ metadata }) => metadata?.[GROUP_KEY] === id));
    const last: string | null = page.data.at(-1)?.id ?? null;
    if (!page.hasMore || last === null || last === after) break;
    after = last;
  }
  if (found.length === 0 && !mayBeMissing) throw new CommandError(`No batch belongs to ${id}. See: nightshift list`);
  return { id, parts: partsOf(found) };
}

function partsOf(batches: readonly Batch[]): GroupPart[] {
  const oldestFirst = batches.toReversed();
  const numbers = oldestFirst.map((batch) => numbersOf(batch));
  const of = Math.max(0, ...numbers.map((each) => each.of));
  return Array.from({ length: of }, (_, at) => {
    const own = oldestFirst.filter((_batch, index) => numbers[index]?.part === at + 1);
    const requests = numbers.find(({ part }) => part === at + 1)?.requests ?? null;
    return { part: at + 1, requests, batches: own };
  });
}

function numbersOf({ metadata }: Batch): { part: number; of: number; requests: number } {
  const [, part, of, requests] = /^(\d{1,9}) of (\d{1,6}), (\d{1,12}) requests$/.exec(metadata?.[PART_KEY] ?? '') ?? [];
  return { part: Number(part ?? 0), of: Number(of ?? 0), requests: Number(requests ?? 0) };
}

/** Every batch of a group. */
export function batchesOf({ parts }: Group): Batch[] {
  return parts.flatMap(({ batches }) => batches);
}

/** The batches whose end decides: those that no other batch of the group runs again. */
export function lastBatches({ parts }: Group): Batch[] {
  return parts.flatMap(({ batches }) => lastOf(batches));
}

/** Of the batches of one part, those that no other one runs again. */
export function lastOf(batches: readonly Batch[]): Batch[] {
  return batches.filter(({ id }) => !batches.some(({ nightshift }) => nightshift?.retry_of === id));
}

/** The worse, the earlier. */
const ENDS: readonly BatchStatus[] = ['failed', 'expired', 'cancelled', 'completed'];

/** A group as if it were one batch: counts and tokens are sums, its status is `in_progress` until all have ended, and then the worst. */
export function sumOf(group: Group): Batch {
  const all = batchesOf(group);
  const [first] = all;
  if (first === undefined) throw new Error('a group without batches has no sum');
  const last = lastBatches(group);
  const open = last.filter(({ status }) => !isTerminal(status));
  const ended = ENDS.find((status) => last.some((batch) => batch.status === status)) ?? 'completed';
  const counts = group.parts.map(countsOf);
  const sum = (name: 'total' | 'completed' | 'failed') => counts.reduce((total, each) => total + each[name], 0);
  return {
    ...first,
    id: group.id,
    status: open.length === 0 ? ended : open.every(({ status }) => status === 'validating') ? 'validating' : 'in_progress',
    request_counts: { total: sum('total'), completed: sum('completed'), failed: sum('failed') },
    usage: all.reduce((usage, batch) => addUsage(usage, batch.usage), zeroUsage()),
  };
}

/**
 * A line that is run again counts once: as completed, or as failed if its last run failed. Lines that expired or were cancelled are in
 * neither count, so the failures of a batch cannot be derived from the size of its retry.
 */
function countsOf({ requests, batches }: GroupPart): Batch['request_counts'] {
  const sum = (name: 'completed' | 'failed', of: readonly Batch[]) => of.reduce((total, batch) => total + batch.request_counts[name], 0);
  return { total: requests ?? 0, completed: sum('completed', batches), failed: sum('failed', lastOf(batches)) };
}

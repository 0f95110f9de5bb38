import type { ApiClient } from './api-client.ts';
import { defineCommand, wholeNumber } from './command.ts';
import { WrongCall } from './command-error.ts';
import { describeErrors, describeMetadata } from './describe-batch.ts';
import { EXIT } from './exit-codes.ts';
import { count, duration } from './progress-line.ts';
import { table } from './table.ts';
import { type Batch, BATCH_STATUSES } from '../domain/batch.ts';

const HEADER = ['ID', 'STATUS', 'AGE', 'MODEL', 'ENDPOINT', 'DONE', 'FAILED', 'METADATA OR ERROR'];
const PAGE = 100;

/** `nightshift list`. */
export const list = defineCommand({
  usage: 'list [options]',
  about: 'Lists batches, newest first.',
  options: {
    limit: { type: 'string', value: 'N', default: '20', help: 'how many; 20 by default' },
    all: { type: 'boolean', help: 'all of them, without a limit' },
    status: { type: 'string', value: 'STATUS', multiple: true, help: 'only batches with this status; several with commas' },
    since: { type: 'string', value: 'TIME', help: 'only batches created since, such as 2h, 3d or 2026-11-27T08:00Z' },
    after: { type: 'string', value: 'ID', help: 'go on after this batch' },
    json: { type: 'boolean', help: 'the list as the API answers it: data, first_id, last_id, has_more' },
  },
  words: [0, 0],
  async run(values, _words, { api, output }) {
    const nowSeconds = Date.now() / 1000;
    const filter = {
      limit: values.all ? Infinity : wholeNumber('limit', values.limit, 1, 1_000_000),
      statuses: readStatuses(values.status),
      sinceSeconds: values.since === undefined ? -Infinity : readSince(values.since, nowSeconds),
      after: values.after ?? null,
      isWanted: () => !output.isClosed,
    };
    const { data, hasMore } = await find(api().client, filter);
    const [first, last] = [data[0]?.id ?? null, data.at(-1)?.id ?? null];
    if (values.json) output.printJson({ object: 'list', data, first_id: first, last_id: last, has_more: hasMore });
    else if (data.length > 0)
      output.print(
        table(
          HEADER,
          data.map((batch) => row(batch, nowSeconds)),
        ),
      );
    const again = [...values.status.map((each) => ` --status ${each}`), values.since === undefined ? '' : ` --since ${values.since}`].join(
      '',
    );
    if (!values.json && hasMore && last !== null) output.note(`more: nightshift list${again} --after ${last}`);
    return EXIT.ok;
  },
});

interface Filter {
  limit: number;
  statuses: ReadonlySet<string> | null;
  sinceSeconds: number;
  after: string | null;
  /** False once there is nobody to print for. */
  isWanted: () => boolean;
}

/** Reads pages until enough batches are found. The API lists by time only, so the other conditions are checked here. */
async function find(client: ApiClient, filter: Filter): Promise<{ data: Batch[]; hasMore: boolean }> {
  const { limit, statuses, sinceSeconds, isWanted } = filter;
  const data: Batch[] = [];
  let { after } = filter;
  while (isWanted()) {
    const pageLimit = statuses === null ? Math.min(PAGE, limit - data.length) : PAGE;
    const page = await client.listBatches({ limit: pageLimit, after });
    for (const [at, batch] of page.data.entries()) {
      if (batch.created_at < sinceSeconds) return { data, hasMore: false };
      if (statuses !== null && !statuses.has(batch.status)) continue;
      data.push(batch);
      if (data.length === limit) return { data, hasMore: at < page.data.length - 1 || page.hasMore };
    }
    const last = page.data.at(-1)?.id;
    // An API that ignores `after` would answer the same page again and again.
    if (!page.hasMore || last === undefined || last === after) return { data, hasMore: false };
    after = last;
  }
  return { data, hasMore: true };
}

function row(batch: Batch, nowSeconds: number): string[] {
  const { completed, failed, total } = batch.request_counts;
  const note = describeErrors(batch)[0] ?? describeMetadata(batch) ?? '';
  return [
    batch.id,
    batch.status,
    duration(nowSeconds - batch.created_at),
    batch.model ?? '-',
    batch.endpoint,
    `${count(completed + failed)}/${count(total)}`,
    failed === 0 ? '-' : count(failed),
    note,
  ];
}

function readStatuses(given: readonly string[]): ReadonlySet<string> | null {
  const names = given.flatMap((each) => each.split(',')).map((each) => each.trim());
  const known: readonly string[] = BATCH_STATUSES;
  const unknown = names.find((each) => !known.includes(each));
  if (unknown !== undefined) throw new WrongCall(`--status is ${JSON.stringify(unknown)}, but it takes ${known.join(', ')}.`);
  return names.length === 0 ? null : new Set(names);
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

function readSince(text: string, nowSeconds: number): number {
  const [, amount, unit = ''] = /^(\d{1,9})([smhdw])$/.exec(text) ?? [];
  if (amount !== undefined) return nowSeconds - Number(amount) * (UNITS[unit] ?? 0);
  if (/^\d{9,11}$/.test(text)) return Number(text);
  const date = Date.parse(text);
  if (!/^\d{4}-\d\d/.test(text) || Number.isNaN(date))
    throw new WrongCall(`--since is ${JSON.stringify(text)}, but it takes an age such as 2h or 3d, a date or Unix seconds.`);
  return date / 1000;
}

import type { ApiClient } from './api-client.ts';
import { ApiFault } from './api-fault.ts';
import { CommandError } from './command-error.ts';
import type { BatchResult } from '../domain/batch-result.ts';

/** A page of lines with an outcome. */
export interface BatchResultPage {
  data: BatchResult[];
  lastId: string | null;
  hasMore: boolean;
  /** Whether the batch still runs. */
  isIncomplete: boolean;
}

export interface ResultQuery {
  limit: number;
  after: string | null;
  status?: string | undefined;
  customId?: string | undefined;
  withBody?: boolean;
}

const PAGE = 1000;

/** Reads a page. Numbers in bodies keep all of their digits when they are written again. */
export function readResultPage(text: string, isIncomplete: boolean): BatchResultPage {
  const exact = (_key: string, value: unknown, { source }: { source?: string } = {}) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? rawJson(source) : value;
  const { data, last_id: lastId, has_more: hasMore }: Record<string, unknown> = Object(JSON.parse(text, exact));
  if (!Array.isArray(data)) throw new ApiFault('The API answered with something that is no list of results.', { isTransient: false });
  return { data, lastId: typeof lastId === 'string' ? lastId : null, hasMore: hasMore === true, isIncomplete };
}

/** `JSON.rawJSON`, which the types of TypeScript do not know. */
const rawJson: (text: string) => unknown = Object(JSON).rawJSON;

/** All known lines of a batch with their bodies, in the order of the input, a page in memory at a time. */
export async function* walkResults(client: Pick<ApiClient, 'listResults'>, id: string): AsyncGenerator<BatchResult, void, undefined> {
  for (let after: string | null = null; ;) {
    const page: BatchResultPage = await client.listResults(id, { limit: PAGE, after, withBody: true });
    yield* page.data;
    // An API that ignores `after` would answer the same page again and again.
    if (!page.hasMore || page.lastId === null || page.lastId === after) return;
    after = page.lastId;
  }
}

/** The line of a result file. Throws for an answer that only the result file has. */
export function toResultLine(batchId: string, result: BatchResult): string {
  const { line, result_id: id, custom_id, status, request_id, body, error } = result;
  if (result.body_left_out === true)
    throw new CommandError(
      `The answer to line ${line} of ${batchId} is too long to come with others. It is in the result files: nightshift download ${batchId}`,
    );
  const response = status === null ? null : { status_code: status, request_id, body };
  return `${JSON.stringify({ id, custom_id, response, error: status === null ? error : null })}\n`;
}

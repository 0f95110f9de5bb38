import { errorOf } from '../../domain/answer-error.ts';
import { isTerminal } from '../../domain/batch.ts';
import type { BatchResult } from '../../domain/batch-result.ts';
import { LINE_OUTCOMES } from '../../domain/closed-lines.ts';
import { cutText } from '../../domain/shown-text.ts';
import type { BatchStore } from '../../storage/batch-store.ts';
import type { KnownResult, ResultStore } from '../../storage/result-store.ts';
import { batchOf } from '../batch-of.ts';
import { clientGone, holdSlot, type Route, sendJsonText } from '../context.ts';
import { resultsGone } from '../errors/batch-errors.ts';
import { unknownCursor } from '../errors/parameter-errors.ts';
import { readPageQuery } from '../pagination.ts';
import { readChoices } from '../read-choices.ts';
import { readFlag } from '../read-flag.ts';
import type { Slots } from '../slots.ts';

const BOUNDS = { defaultLimit: 20, maxLimit: 1000 };
/** Characters of the message of an error, and of its code. */
const MESSAGE_CHARACTERS = 2000;
const CODE_CHARACTERS = 80;

/**
 * `GET /v1/batches/{id}/results`: one page of the lines with an outcome, in the order of the input, while the batch runs and afterwards.
 * The header `x-nightshift-incomplete` is there while it runs.
 */
export function batchResults({ batches, results, lists }: { batches: Pick<BatchStore, 'get'>; results: ResultStore; lists: Slots }): Route {
  return async (ctx) => {
    const query = new URLSearchParams(ctx.querystring);
    const { limit, after } = readPageQuery(query, BOUNDS);
    const statuses = readChoices(query, 'status', LINE_OUTCOMES);
    const outcomes = statuses.length === 0 ? null : new Set(statuses);
    const wanted = { limit, after: readCursor(after), outcomes, customId: query.get('custom_id') };
    const withBody = readFlag(query, 'body');
    const record = await batchOf(ctx, batches);
    const signal = clientGone(ctx);
    await holdSlot(ctx, lists, signal);
    const page = await results.page(record, { ...wanted, withBody, signal });
    if (page === 'gone') throw resultsGone(record.batch.id);
    if (!isTerminal(record.batch.status)) ctx.set('x-nightshift-incomplete', 'true');
    const { data, hasMore, last } = page;
    const [firstId, lastId] = [data[0]?.line, hasMore || data.length > 0 ? last : undefined].map((line) =>
      JSON.stringify(line === undefined ? null : idOf(line)),
    );
    const items = data.map((result) => toText(result, withBody)).join(',');
    sendJsonText(ctx, `{"object":"list","data":[${items}],"first_id":${firstId},"last_id":${lastId},"has_more":${hasMore}}`);
  };
}

function idOf(line: number): string {
  return `line_${line}`;
}

function readCursor(after: string | null): number {
  if (after === null) return 0;
  const digits = /^line_(\d{1,12})$/.exec(after)?.[1];
  if (digits === undefined) throw unknownCursor(after);
  return Number(digits);
}

/** The body goes through as the bytes of the answer, so its numbers keep all of their digits. */
function toText(result: KnownResult, withBody: boolean): string {
  const { line, outcome, attempts, milliseconds, usage, head } = result;
  const item: BatchResult = {
    id: idOf(line),
    object: 'batch.result',
    line,
    custom_id: head.customId,
    outcome,
    status: head.status,
    error: toError(result),
    attempts,
    milliseconds,
    usage,
    result_id: head.id,
    request_id: head.requestId,
  };
  const text = JSON.stringify(item);
  if (!withBody) return text;
  const body = head.status === null || result.value === null ? 'null' : result.value.toString();
  const isLeftOut = head.status !== null && result.value === null;
  return `${text.slice(0, -1)},"body_left_out":${isLeftOut},"body":${body}}`;
}

function toError({ outcome, value, head }: KnownResult): { code: string | null; message: string } | null {
  if (outcome === 'completed') return null;
  if (value === null)
    return { code: null, message: 'The answer is too long to be read here. It is in the error file once the batch has ended.' };
  const { code, message } = errorOf(JSON.parse(value.toString()));
  return {
    code: code === null ? null : cutText(code, CODE_CHARACTERS),
    message: cutText(message ?? `The upstream answered with status ${head.status}.`, MESSAGE_CHARACTERS),
  };
}

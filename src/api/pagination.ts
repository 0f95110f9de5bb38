import { cutText } from '../domain/shown-text.ts';
import { integerAboveMax, integerBelowMin, invalidType, invalidValue } from './errors/parameter-errors.ts';
import { type ApiContext, sendJsonText } from './context.ts';

/** Bytes of a page, because it is held in memory until its client has read it. 10,000 files with names of up to 150 bytes fit. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

/** Which page of a list is wanted. */
export interface PageQuery {
  limit: number;
  after: string | null;
}

const ORDERS = ['asc', 'desc'] as const;
export type Order = (typeof ORDERS)[number];

/** Reads `limit` and `after`. Throws the 400 for a limit that is no integer or out of bounds. */
export function readPageQuery(query: URLSearchParams, { defaultLimit, maxLimit }: { defaultLimit: number; maxLimit: number }): PageQuery {
  return { limit: readLimit(query.get('limit'), defaultLimit, maxLimit), after: query.get('after') || null };
}

/** Reads `order`, newest first by default. Throws the 400 for any other word. */
export function readOrder(query: URLSearchParams): Order {
  const given = query.get('order') ?? 'desc';
  const order = ORDERS.find((each) => each === given);
  if (order === undefined) throw invalidValue('order', given, ORDERS);
  return order;
}

/**
 * Answers with a page: the first items of `data` that fit into 4 MiB, at least one of them. The SDKs look at `data`, `has_more` and
 * the id of the last item, so a client that pages gets the items left out with its next request.
 */
export function sendPage(ctx: ApiContext, data: readonly { id: string }[], hasMore: boolean): void {
  const texts: string[] = [];
  let bytes = 0;
  for (const item of data) {
    const text = JSON.stringify(item);
    bytes += Buffer.byteLength(text);
    if (bytes > MAX_PAGE_BYTES && texts.length > 0) break;
    texts.push(text);
  }
  const [firstId, lastId] = [data[0]?.id ?? null, data[texts.length - 1]?.id ?? null].map((id) => JSON.stringify(id));
  const isCut = texts.length < data.length;
  sendJsonText(
    ctx,
    `{"object":"list","data":[${texts.join(',')}],"first_id":${firstId},"last_id":${lastId},"has_more":${hasMore || isCut}}`,
  );
}

function readLimit(given: string | null, defaultLimit: number, maxLimit: number): number {
  if (given === null) return defaultLimit;
  if (!/^-?\d+$/.test(given)) throw invalidType('limit', 'an integer', 'a string');
  const limit = Number(given);
  if (limit < 1) throw integerBelowMin('limit', 1, cutText(given, 80));
  if (limit > maxLimit) throw integerAboveMax('limit', maxLimit, cutText(given, 80));
  return limit;
}

import { cutText } from '../domain/shown-text.ts';
import { integerAboveMax, integerBelowMin, invalidType, invalidValue } from '../domain/errors.ts';

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

/** What every list answers. The SDKs look at `data`, `has_more` and the id of the last item. */
export function listEnvelope<T extends { id: string }>(data: readonly T[], hasMore: boolean) {
  return { object: 'list', data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: hasMore };
}

function readLimit(given: string | null, defaultLimit: number, maxLimit: number): number {
  if (given === null) return defaultLimit;
  if (!/^-?\d+$/.test(given)) throw invalidType('limit', 'an integer', 'a string');
  const limit = Number(given);
  if (limit < 1) throw integerBelowMin('limit', 1, cutText(given, 80));
  if (limit > maxLimit) throw integerAboveMax('limit', maxLimit, cutText(given, 80));
  return limit;
}

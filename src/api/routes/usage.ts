import { invalidSpan, invalidValue } from '../errors/parameter-errors.ts';
import { truncate } from '../errors/api-error.ts';
import type { TenantSettingsOf } from '../../domain/tenant.ts';
import { createUsageTable, dayOf, USAGE_GROUPS, type UsageGroup, type UsageRow } from '../../domain/usage.ts';
import type { UsageStore } from '../../storage/usage-store.ts';
import { clientGone, holdSlot, type Route, sendJson, tenantOf } from '../context.ts';
import { readChoice, readChoices } from '../read-choices.ts';
import type { Slots } from '../slots.ts';

const DAY_SECONDS = 86_400;
const DEFAULT_DAYS = 30;
/** A year and a day: one read of the bucket for a few dozen batches, at most sixteen a day. */
const MOST_DAYS = 366;
/** Held in memory until the client has read them: about 4 MiB. */
const MOST_ROWS = 20_000;
const SUMS = ['requests', 'failed', 'input_tokens', 'output_tokens', 'total_tokens'] as const;
const DEFAULT_GROUPS: readonly UsageGroup[] = ['day', 'model'];
const FORMATS = ['json', 'csv'] as const;

interface Deps {
  usage: Pick<UsageStore, 'read'>;
  settingsOf: TenantSettingsOf;
  lists: Slots;
  nowMs: () => number;
}

/** `GET /v1/nightshift/usage`: requests and tokens of the tenant, and of all tenants for an operator. */
export function usage({ usage: store, settingsOf, lists, nowMs }: Deps): Route {
  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const query = new URLSearchParams(ctx.querystring);
    const { from, to } = readSpan(query, Math.floor(nowMs() / 1000));
    if (query.get('group_by') === '') throw invalidValue('group_by', '', USAGE_GROUPS);
    const given = new Set(readChoices(query, 'group_by', USAGE_GROUPS));
    const groups = given.size === 0 ? DEFAULT_GROUPS : [...given];
    const format = readChoice(query, 'format', FORMATS) ?? 'json';
    const gone = clientGone(ctx);
    await holdSlot(ctx, lists, gone);
    const table = createUsageTable(groups);
    for await (const each of store.read({ tenant: settingsOf(tenant).isOperator ? null : tenant, from, to })) {
      gone.throwIfAborted();
      table.add(each);
      if (table.size > MOST_ROWS) {
        throw invalidSpan('from', `these days have more than ${MOST_ROWS} rows. Ask for fewer days, or group by less.`);
      }
    }
    if (format === 'json') return sendJson(ctx, { object: 'list', from, to, group_by: groups, data: table.rows() });
    ctx.status = 200;
    ctx.set('Content-Type', 'text/csv');
    ctx.set('Content-Disposition', `attachment; filename="usage_${from}_${to}.csv"`);
    ctx.body = Buffer.from(toCsv(groups, table.rows()));
  };
}

function readSpan(query: URLSearchParams, nowSeconds: number): { from: string; to: string } {
  const to = readDay(query, 'to') ?? dayOf(nowSeconds);
  const from = readDay(query, 'from') ?? dayOf(secondsOf(to) - (DEFAULT_DAYS - 1) * DAY_SECONDS);
  if (from > to) throw invalidSpan('from', `'${from}' is after 'to', '${to}'. Send an earlier day.`);
  const days = (secondsOf(to) - secondsOf(from)) / DAY_SECONDS + 1;
  if (days > MOST_DAYS) throw invalidSpan('from', `'${from}' to '${to}' are ${days} days. Ask for ${MOST_DAYS} days at most.`);
  return { from, to };
}

function readDay(query: URLSearchParams, param: string): string | null {
  const given = query.get(param);
  if (given === null) return null;
  const isDay = /^\d{4}-\d\d-\d\d$/.test(given) && !Number.isNaN(secondsOf(given)) && dayOf(secondsOf(given)) === given;
  if (!isDay) throw invalidSpan(param, `'${truncate(given)}' is not a day. Send a day such as 2027-01-31.`);
  return given;
}

function secondsOf(day: string): number {
  return Date.parse(`${day}T00:00:00Z`) / 1000;
}

function toCsv(groups: readonly UsageGroup[], rows: readonly UsageRow[]): string {
  const columns = [...groups, ...SUMS];
  const lines = [columns.join(','), ...rows.map((row) => columns.map((column) => csvValue(row[column] ?? '')).join(','))];
  return lines.map((line) => `${line}\r\n`).join('');
}

/** A spreadsheet would run a model's name that begins like a formula, so that gets an apostrophe. */
function csvValue(value: string | number): string {
  const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

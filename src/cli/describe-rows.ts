import { oneLine } from './terminal-text.ts';

/** A name and a value, such as `status      completed`; no row where the value is null. */
export type Row = [name: string, value: string | null];

/** Rows for people, one below the other. Values are made safe for a terminal. */
export function describeRows(rows: readonly Row[]): string {
  return rows.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(12)}${oneLine(value)}\n`])).join('');
}

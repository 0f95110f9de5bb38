import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import proto from '@temporalio/proto';

/** Where `npm run histories` keeps them: a folder per version, a file per kind of batch, a line per workflow run. */
export const HISTORIES = fileURLToPath(new URL('histories/', import.meta.url));

/** One workflow run as it was stored. */
export interface StoredHistory {
  workflowId: string;
  /** As `temporal workflow show --output json` writes it. */
  history: { events: Record<string, unknown>[] };
}

/** All stored runs, by `<version>/<kind>`. */
export async function storedHistories(): Promise<Map<string, StoredHistory[]>> {
  const stored = new Map<string, StoredHistory[]>();
  for (const path of (await readdir(HISTORIES, { recursive: true })).toSorted()) {
    const [, name] = /^(.+)\.jsonl\.gz$/.exec(path) ?? [];
    if (name === undefined) continue;
    const lines = gunzipSync(await readFile(join(HISTORIES, path)))
      .toString()
      .trimEnd()
      .split('\n');
    stored.set(
      name,
      lines.map((line): StoredHistory => JSON.parse(line)),
    );
  }
  return stored;
}

/**
 * What `Worker.runReplayHistories` takes. It would read the JSON by itself, but only where npm laid all of Temporal's packages
 * on one copy of protobufjs; here `historyFromJSON` throws.
 */
export function toReplay({ workflowId, history }: StoredHistory): { workflowId: string; history: proto.temporal.api.history.v1.History } {
  const plain: object = JSON.parse(JSON.stringify(history), (_name, value: unknown) => toMoment(value) ?? value);
  return { workflowId, history: proto.temporal.api.history.v1.History.fromObject(plain) };
}

/** The argument that a run began with. */
export function inputOf({ history }: StoredHistory): Record<string, unknown> {
  const data: unknown = Object(history.events[0]?.['workflowExecutionStartedEventAttributes']).input?.payloads?.[0]?.data;
  return typeof data === 'string' ? Object(JSON.parse(Buffer.from(data, 'base64').toString())) : {};
}

/** The same run, as if it had begun with another input. */
export function withInput(run: StoredHistory, input: object): StoredHistory {
  const changed = structuredClone(run);
  const [payload] = Object(changed.history.events[0]?.['workflowExecutionStartedEventAttributes']).input.payloads;
  payload.data = Buffer.from(JSON.stringify(input)).toString('base64');
  return changed;
}

/** Seconds and nanoseconds of a timestamp or a duration, which JSON writes as `2026-01-01T00:00:00.5Z` and `1.5s`. */
function toMoment(value: unknown): { seconds: number; nanos: number } | null {
  if (typeof value !== 'string') return null;
  const [, day, fraction = '0'] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z$/.exec(value) ?? [];
  if (day !== undefined) return { seconds: Date.parse(`${day}Z`) / 1000, nanos: Number(fraction.padEnd(9, '0')) };
  const [, seconds, rest = '0'] = /^(\d+)(?:\.(\d+))?s$/.exec(value) ?? [];
  return seconds === undefined ? null : { seconds: Number(seconds), nanos: Number(rest.padEnd(9, '0')) };
}

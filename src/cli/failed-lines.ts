import { createReadStream } from 'node:fs';
import { createGroups, describePlaces } from './group-equal.ts';
import { oneLine, truncate } from './terminal-text.ts';
import { createLineSplitter } from '../domain/jsonl.ts';

const GROUPS_SHOWN = 5;
const MAX_LINE_BYTES = 64 * 1024 * 1024;

/** Why the lines of a downloaded error file failed, the most frequent reasons first: `120 requests: a, b, …: 400: Invalid …`. */
export async function describeFailedLines(path: string): Promise<string[]> {
  const groups = createGroups();
  const splitter = createLineSplitter({ maxLineBytes: MAX_LINE_BYTES });
  const take = (bytes: Uint8Array | null) => {
    const { reason, customId } = readResultLine(bytes);
    groups.add(reason, customId);
  };
  for await (const chunk of createReadStream(path)) for (const { bytes } of splitter.push(chunk)) take(bytes);
  for (const { bytes } of splitter.end()) take(bytes);

  const all = groups.all();
  const shown = all.slice(0, GROUPS_SHOWN).map((group) => `${describePlaces(group, 'request')}: ${group.text}`);
  const more = all.slice(GROUPS_SHOWN).reduce((sum, { size }) => sum + size, 0);
  return more === 0 ? shown : [...shown, `${more} more for ${all.length - GROUPS_SHOWN} other reasons`];
}

interface ErrorLine {
  custom_id?: unknown;
  error?: { code?: unknown; message?: unknown } | null;
  response?: { status_code?: unknown; body?: { error?: { message?: unknown } | string; message?: unknown } | null } | null;
}

function readResultLine(bytes: Uint8Array | null): { reason: string; customId: string | null } {
  let line: ErrorLine = {};
  try {
    line = Object(JSON.parse(new TextDecoder().decode(bytes ?? undefined)));
  } catch {
    // The group without a reason tells that there is such a line.
  }
  const { custom_id: customId, error, response } = line;
  const inner = response?.body?.error;
  const said = [typeof inner === 'object' ? inner.message : inner, response?.body?.message, error?.message].find(
    (each) => typeof each === 'string',
  );
  const status = response?.status_code ?? error?.code ?? 'unknown';
  const reason = said === undefined ? String(status) : `${String(status)}: ${String(said)}`;
  return { reason: truncate(oneLine(reason), 200), customId: typeof customId === 'string' ? truncate(oneLine(customId), 40) : null };
}

import { errorOf } from './answer-error.ts';
import { cutText } from './shown-text.ts';

/** Why a line failed. Lines that agree in all three members make a group. */
export interface Failure {
  /** HTTP status of the answer; null if there was none. */
  status: number | null;
  code: string;
  /** The first 80 characters, on one line. */
  message: string;
}

/** Failed lines of a batch with one cause. */
export interface FailureGroup extends Failure {
  /** How many lines. */
  lines: number;
  /** The custom_id of the first line. */
  example: string;
  /** Those of the first three lines. */
  custom_ids: string[];
}

/** A failed line. */
export interface FailedLine {
  failure: Failure;
  customId: string;
}

/** Groups of a batch and of a shard: servers put ids into their messages, so every line may have a message of its own. */
export const MAX_FAILURE_GROUPS = 50;
const MESSAGE_CHARACTERS = 80;
const CODE_CHARACTERS = 80;
const EXAMPLES = 3;
/** What does not fit into the table. */
const OTHERS: Failure = { status: null, code: 'other', message: 'Other failures. The error file has them.' };

export function toFailure({ status, code, message }: Failure): Failure {
  return { status, code: shortLine(code, CODE_CHARACTERS), message: shortLine(message, MESSAGE_CHARACTERS) };
}

/** A longer result line is not parsed. */
const MAX_PARSED_BYTES = 256 * 1024;

/** Why a line failed, from its result line. */
export function readFailure(resultLine: Uint8Array): Failure {
  if (resultLine.length > MAX_PARSED_BYTES) return OTHERS;
  const { response, error } = Object(JSON.parse(new TextDecoder().decode(resultLine)));
  if (response === null) return toFailure({ status: null, code: String(error.code), message: String(error.message) });
  const { code, message } = errorOf(response.body);
  return toFailure({ status: response.status_code, code: code ?? 'upstream_error', message: message ?? 'The answer has no message.' });
}

export function failureKey({ status, code, message }: Failure): string {
  return JSON.stringify([status, code, message]);
}

/** Groups of lines in input order, the largest first. */
export function groupFailures(lines: Iterable<FailedLine>): FailureGroup[] {
  const groups = new Map<string, FailureGroup>();
  for (const { failure, customId } of lines) {
    addGroup(groups, { ...failure, lines: 1, example: customId, custom_ids: [customId] });
  }
  return sorted(groups);
}

/** The sum of groups, given in the order of their lines. */
export function sumFailures(all: Iterable<readonly FailureGroup[]>): FailureGroup[] {
  const groups = new Map<string, FailureGroup>();
  for (const some of all) for (const group of some) addGroup(groups, group);
  return sorted(groups);
}

/** The group in which a failure is counted, given the keys of those that there are. */
export function groupOf(failure: Failure, isKnown: (key: string) => boolean, size: number): { key: string; failure: Failure } {
  const key = failureKey(failure);
  if (isKnown(key) || size < MAX_FAILURE_GROUPS - 1) return { key, failure };
  return { key: failureKey(OTHERS), failure: OTHERS };
}

function addGroup(groups: Map<string, FailureGroup>, { status, code, message, lines, custom_ids }: FailureGroup): void {
  const { key, failure } = groupOf({ status, code, message }, (each) => groups.has(each), groups.size);
  const before = groups.get(key);
  const first = [...(before?.custom_ids ?? []), ...custom_ids].slice(0, EXAMPLES);
  groups.set(key, { ...failure, lines: (before?.lines ?? 0) + lines, example: first[0] ?? '', custom_ids: first });
}

function sorted(groups: ReadonlyMap<string, FailureGroup>): FailureGroup[] {
  return [...groups.values()].sort((a, b) => b.lines - a.lines);
}

/** A message may be a whole web page, so only its beginning is looked at. */
function shortLine(text: string, maxLength: number): string {
  const line = text
    .slice(0, 4 * maxLength)
    .toWellFormed()
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim();
  return cutText(line, maxLength);
}

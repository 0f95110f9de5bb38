import { eachMember, type MemberRange } from './json-scan.ts';

/** How the bodies of requests are changed on their way to an upstream. */
export interface BodyChanges {
  /** The name that the upstream has for a model; null where it is the same. */
  alias: (model: string) => string | null;
  /** Members that a body gets if it has none of their name: JSON values by ASCII names. */
  additions: Readonly<Record<string, unknown>>;
}

const UTF_8 = new TextEncoder();
/** JSON has no byte order mark of its own: one inside a string belongs to it. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });
const COMMA = UTF_8.encode(',');

/**
 * The body of a request, a JSON object, with the value of `model` replaced and members added at the end. All other bytes stay. Of
 * several members `model` the last one counts, as with `JSON.parse`, and all get its new value, because some servers take the first.
 * Answers the same bytes when there is nothing to change.
 */
export function rewriteBody(body: Uint8Array, { alias, additions }: BodyChanges): Uint8Array {
  const names = [...new Set(['model', ...Object.keys(additions)])];
  const present = new Set<number>();
  const models: MemberRange[] = [];
  const end = eachMember(body, names, (name, range) => {
    present.add(name);
    if (name === 0) models.push(range);
  });
  if (end === null) return body;

  const edits: { at: number; until: number; bytes: Uint8Array }[] = [];
  const model = aliasOf(body, models.at(-1), alias);
  if (model !== null) for (const { start, end: until } of models) edits.push({ at: start, until, bytes: model });
  let isFirst = present.size === 0;
  for (const [index, name] of names.entries()) {
    if (present.has(index) || !Object.hasOwn(additions, name)) continue;
    if (!isFirst) edits.push({ at: end, until: end, bytes: COMMA });
    isFirst = false;
    edits.push({ at: end, until: end, bytes: UTF_8.encode(`${JSON.stringify(name)}:${JSON.stringify(additions[name])}`) });
  }
  return edits.length === 0 ? body : spliced(body, edits);
}

/** What stands in place of the value of `model`; null where it is to stay. */
function aliasOf(body: Uint8Array, range: MemberRange | undefined, alias: BodyChanges['alias']): Uint8Array | null {
  if (range === undefined) return null;
  const model: unknown = JSON.parse(TEXT.decode(body.subarray(range.start, range.end)));
  const name = typeof model === 'string' ? alias(model) : null;
  return name === null ? null : UTF_8.encode(JSON.stringify(name));
}

/** The bytes with some ranges replaced, which are in order and do not overlap. */
function spliced(body: Uint8Array, edits: readonly { at: number; until: number; bytes: Uint8Array }[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let from = 0;
  for (const { at, until, bytes } of edits) {
    parts.push(body.subarray(from, at), bytes);
    from = until;
  }
  parts.push(body.subarray(from));
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

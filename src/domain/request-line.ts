import type { BatchError } from './batch.ts';
import { closestName } from './closest-name.ts';
import { type EndpointRules, endpointRules } from './endpoint.ts';
import * as fault from './input-errors.ts';
import { explainInvalidJson } from './invalid-json.ts';
import { memberRanges } from './json-scan.ts';
import { describeJsonType, isJsonRecord } from './json-type.ts';
import { outlineJson } from './json-outline.ts';
import { type Limits, LONG_LINE_BYTES, MODEL_MAX_LENGTH } from './limits.ts';
import { codePoints, shownText } from './shown-text.ts';

/** What validation learns from a line: its faults, or what the batch needs to know of it. */
export type CheckedLine =
  | { errors: BatchError[] }
  | {
      errors: null;
      customId: string;
      /** Null for a line without one, where the endpoint allows that. */
      model: string | null;
      /** Inputs of an embeddings request; 0 elsewhere. */
      embeddingInputs: number;
    };

/** Checks the lines of one batch, one after the other. */
export interface RequestLineChecker {
  /** `bytes` is null for a line that was too long to be kept. */
  check(bytes: Uint8Array | null, line: number): CheckedLine;
}

const UTF_8 = new TextDecoder();
/** `ignoreBOM` keeps a byte order mark in the text, where JSON does not allow it: the one that may be there is gone already. */
const STRICT_UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const LINE_MEMBERS = ['custom_id', 'method', 'url', 'body'] as const;
/** By which a body is known that stands where a line should. */
const BODY_MEMBERS = ['messages', 'input', 'prompt', 'model'] as const;
const BODY_SWITCHES = ['stream', 'background'] as const;
/** Of more members none is compared with the name that is missing. */
const MEMBERS_COMPARED = 50;
const FALSE_TEXTS: ReadonlySet<string> = new Set(['', '0', 'false', 'no', 'off', 'n', 'f', 'null', 'none']);

/** Longest custom_id, in Unicode code points. */
const CUSTOM_ID_MAX_LENGTH = 512;

/**
 * Checks lines against the rules of an endpoint (docs/contract.md, V3 to V13). `lineOf` is asked once
 * per usable custom_id and answers which earlier line had it; the caller decides how to remember them.
 */
export function createRequestLineChecker(given: {
  endpoint: string;
  limits: Pick<Limits, 'maxLineBytes'>;
  lineOf: (customId: string, line: number) => number | null;
}): RequestLineChecker {
  const rules = endpointRules(given.endpoint);
  return {
    check(bytes, line) {
      if (bytes === null) return { errors: [fault.lineTooLarge(line, given.limits.maxLineBytes)] };
      const parsed = parseLine(bytes, rules);
      if (parsed === null) return { errors: [fault.invalidJsonLine(line, explainInvalidJson(bytes))] };
      if (!isJsonRecord(parsed.value)) return { errors: [fault.notAnObject(line, describeJsonType(parsed.value))] };
      const { custom_id: customId, method, url, body } = parsed.value;

      const errors = [
        ...checkPresence(line, parsed.value, 'custom_id', 'a string'),
        ...checkPresence(line, parsed.value, 'method', 'a string'),
        ...checkPresence(line, parsed.value, 'url', 'a string'),
        ...checkPresence(line, parsed.value, 'body', 'an object'),
      ];
      if (typeof customId === 'string') errors.push(...checkCustomId(line, customId, given.lineOf));
      if (typeof method === 'string' && method !== 'POST') errors.push(fault.invalidMethod(line, method));
      if (typeof url === 'string' && url !== given.endpoint) errors.push(fault.invalidUrl(line, url, given.endpoint));
      if (isJsonRecord(body)) errors.push(...checkBody(line, body, rules));
      if (errors.length > 0 || typeof customId !== 'string' || !isJsonRecord(body)) return { errors };
      const { model } = body;
      return {
        errors: null,
        customId,
        model: typeof model === 'string' && model !== '' ? model : null,
        embeddingInputs: countEmbeddingInputs(body, rules),
      };
    },
  };
}

/**
 * What sending needs of a line that has passed the checker. `body` is the exact bytes of that member, sharing memory with the line; `model`
 * is empty where the body names none.
 */
export function readRequestLine(bytes: Uint8Array): { customId: string; model: string; body: Uint8Array } {
  const [customId, body] = memberRanges(bytes, ['custom_id', 'body']);
  if (!customId || !body) throw new Error('a line of a validated input has no custom_id or body');
  const bodyBytes = bytes.subarray(body.start, body.end);
  const [model] = memberRanges(bodyBytes, ['model']);
  return {
    customId: parseString(bytes.subarray(customId.start, customId.end)),
    model: model ? parseString(bodyBytes.subarray(model.start, model.end)) : '',
    body: bodyBytes,
  };
}

function parseString(bytes: Uint8Array): string {
  const value: unknown = JSON.parse(UTF_8.decode(bytes));
  if (typeof value !== 'string') throw new Error('a line of a validated input holds no string where there was one');
  return value;
}

/** The parsed line, or the outline of a long one; null when it is not UTF-8 or not JSON, or nested too deep to be parsed. */
function parseLine(bytes: Uint8Array, { oneOf }: EndpointRules): { value: unknown } | null {
  if (bytes.length > LONG_LINE_BYTES) {
    const outline = outlineJson(bytes, {
      members: LINE_MEMBERS,
      inner: 'body',
      innerMembers: [...BODY_MEMBERS, ...BODY_SWITCHES, ...oneOf],
      measured: ['custom_id', 'model'],
    });
    return outline === undefined ? null : { value: outline };
  }
  try {
    return { value: JSON.parse(STRICT_UTF_8.decode(bytes)) };
  } catch {
    return null;
  }
}

function checkPresence(
  line: number,
  request: Record<string, unknown>,
  name: (typeof LINE_MEMBERS)[number],
  expected: 'a string' | 'an object',
): BatchError[] {
  const value = request[name];
  if (value === undefined || value === null) return [fault.missingRequired(line, name, adviceOn(request, name))];
  const fits = expected === 'a string' ? typeof value === 'string' : isJsonRecord(value);
  return fits ? [] : [fault.wrongType(line, name, expected, describeJsonType(value))];
}

/** What the author of a line without a member may have meant. */
function adviceOn(request: Record<string, unknown>, missing: string): string | null {
  const bare = BODY_MEMBERS.find((member) => member in request);
  if (missing === 'body' && bare !== undefined) return `The line has "${bare}" itself: put the request into its "body".`;
  return misspelt(request, missing, LINE_MEMBERS);
}

/** Names the member that is most likely a misspelt one; `known` are no misspellings. */
function misspelt(object: Record<string, unknown>, missing: string, known: readonly string[]): string | null {
  const others = Object.keys(object).filter((member) => !known.includes(member));
  const found = closestName(missing, others.slice(0, MEMBERS_COMPARED));
  return found === null ? null : `There is "${shownText(found, 80)}": did you mean "${missing}"?`;
}

function checkCustomId(line: number, customId: string, lineOf: (customId: string, line: number) => number | null): BatchError[] {
  if (customId.trim() === '') return [fault.blankCustomId(line)];
  const length = codePoints(customId);
  if (length > CUSTOM_ID_MAX_LENGTH) return [fault.customIdTooLong(line, CUSTOM_ID_MAX_LENGTH, length)];
  const earlier = lineOf(customId, line);
  return earlier === null ? [] : [fault.duplicateCustomId(line, customId, earlier)];
}

function checkBody(line: number, body: Record<string, unknown>, rules: EndpointRules): BatchError[] {
  const errors: BatchError[] = [];
  const { model, stream, background } = body;
  const isAbsent = (member: string) => (body[member] ?? null) === null;
  if (isAbsent('model') || model === '') {
    if (rules.needsModel) errors.push(fault.requiredInBody(line, ['model'], misspelt(body, 'model', BODY_MEMBERS)));
  } else if (typeof model !== 'string') errors.push(fault.wrongType(line, 'body.model', 'a string', describeJsonType(model)));
  else if (codePoints(model) > MODEL_MAX_LENGTH) errors.push(fault.modelTooLong(line, MODEL_MAX_LENGTH, codePoints(model)));
  const [usual, ...others] = rules.oneOf;
  if (usual !== undefined && rules.oneOf.every(isAbsent)) {
    errors.push(fault.requiredInBody(line, [usual, ...others], misspelt(body, usual, BODY_MEMBERS)));
  }
  if (isOn(stream)) errors.push(fault.streamingUnsupported(line, rules.title, stream));
  if (rules.path === '/v1/responses' && isOn(background)) errors.push(fault.backgroundUnsupported(line, rules.title, background));
  return errors;
}

/** Whether some server takes a value for true. Servers differ in which texts and numbers they take, but not in these for false. */
function isOn(value: unknown): boolean {
  if (typeof value === 'string') return !FALSE_TEXTS.has(value.trim().toLowerCase());
  return value !== undefined && value !== null && value !== false && value !== 0;
}

/** An array of integers is one input (tokens); any other array holds as many as it has elements. */
function countEmbeddingInputs(body: Record<string, unknown>, rules: EndpointRules): number {
  if (rules.path !== '/v1/embeddings') return 0;
  const { input } = body;
  if (!Array.isArray(input)) return 1;
  return input.length > 0 && input.every((element) => typeof element === 'number') ? 1 : input.length;
}

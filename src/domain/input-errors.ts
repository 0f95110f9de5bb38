import type { BatchError } from './batch.ts';
import { closestName } from './closest-name.ts';
import { MAX_BATCH_ERRORS } from './limits.ts';
import { shownText } from './shown-text.ts';

/** The faults of an input file: codes, params and texts. V1 to V18 are the rules of docs/contract.md. */

/** V1: unknown, deleted, expired or another tenant's. */
export function inputFileNotFound(fileId: string): BatchError {
  const message = `Cannot find file ${fileId}, or organization does not have access to it.`;
  return { code: 'invalid_request', message, param: 'file_id', line: null };
}

/** V2: no line holds a request. */
export function emptyFile(): BatchError {
  const message = 'The input file is empty. Please ensure that the batch contains at least one request.';
  return { code: 'empty_file', message, param: null, line: null };
}

/** V3: not JSON in UTF-8; `why` is a sentence. */
export function invalidJsonLine(line: number, why: string): BatchError {
  return { code: 'invalid_json_line', message: `This line is not parseable as valid JSON. ${why}`, param: null, line };
}

/** A line that is longer than the configured cap; it was not even read. */
export function lineTooLarge(line: number, maxBytes: number): BatchError {
  return { code: 'line_too_large', message: `This line is larger than the ${maxBytes} bytes maximum.`, param: null, line };
}

/** V4: JSON, but no object. `got` has its article. */
export function notAnObject(line: number, got: string): BatchError {
  const hint = got === 'an array' ? ' A JSONL file has one object on each line, not one array of all.' : '';
  return { code: 'invalid_request', message: `This line must be a JSON object, but it is ${got}.${hint}`, param: null, line };
}

/** V5: absent or null. `advice` are sentences. */
export function missingRequired(line: number, param: string, advice: string | null): BatchError {
  return { code: 'missing_required_parameter', message: joined(`Missing required parameter: '${param}'.`, advice), param, line };
}

/** V6: of the wrong type. `expected` and `got` have their article. */
export function wrongType(line: number, param: string, expected: string, got: string): BatchError {
  const message = `Invalid type for '${param}': expected ${expected}, but got ${got} instead.`;
  return { code: 'invalid_type', message, param, line };
}

/** V7: empty or nothing but whitespace. */
export function blankCustomId(line: number): BatchError {
  return { code: 'invalid_request', message: "Invalid 'custom_id': it must not be empty or blank.", param: 'custom_id', line };
}

/** Longer than a custom_id may be; lengths are code points. */
export function customIdTooLong(line: number, max: number, got: number): BatchError {
  const message = `Invalid 'custom_id': string too long. Expected a string with maximum length ${max}, but got a string with length ${got} instead.`;
  return { code: 'invalid_request', message, param: 'custom_id', line };
}

/** V8: the line `earlier` has it too. */
export function duplicateCustomId(line: number, customId: string, earlier: number): BatchError {
  const rule =
    'The custom_id for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch.';
  const message = `${rule} Line ${earlier} has "${quoted(customId)}" too.`;
  return { code: 'duplicate_custom_id', message, param: 'custom_id', line };
}

/** V9: anything but exactly `POST`. */
export function invalidMethod(line: number, method: string): BatchError {
  const message = `Invalid method: '${quoted(method)}'. The method of each request in a batch must be 'POST'.`;
  return { code: 'invalid_method', message, param: 'method', line };
}

/** V10: another endpoint than that of the batch. */
export function invalidUrl(line: number, url: string, endpoint: string): BatchError {
  const message = `The URL provided for this request does not match the batch endpoint. Line ${line} has "${quoted(url)}", the batch "${endpoint}".`;
  return { code: 'invalid_url', message, param: 'url', line };
}

/** V11, V12: a body has none of the members without which the endpoint cannot work; the first is the usual one. `advice` are sentences. */
export function requiredInBody(
  line: number,
  [member, ...others]: readonly [string, ...string[]],
  advice: string | null = null,
): BatchError {
  const rule = `${member.charAt(0).toUpperCase()}${member.slice(1)} parameter is required.`;
  const choice = others.length === 0 ? null : `The body must have one of "${[member, ...others].join('", "')}".`;
  return { code: 'invalid_request', message: joined(rule, choice, advice), param: `body.${member}`, line };
}

/** A line without a model, where OpenAI allows that but no upstream serves every model. */
export function noDefaultModel(line: number): BatchError {
  return requiredInBody(line, ['model'], 'A line without one goes to the upstream that serves every model, and there is none.');
}

/** Longer than the name of a model may be; lengths are code points. */
export function modelTooLong(line: number, max: number, got: number): BatchError {
  const message = `Invalid 'body.model': string too long. Expected a string with maximum length ${max}, but got a string with length ${got} instead.`;
  return { code: 'invalid_request', message, param: 'body.model', line };
}

/** V13: an event stream cannot become a result line. */
export function streamingUnsupported(line: number, endpointTitle: string, value: unknown): BatchError {
  const found = value === true ? null : `"stream" is ${json(value)}. Remove it, or set it to false.`;
  const message = joined(`${endpointTitle}: Streaming is not supported in the Batch API.`, found);
  return { code: 'streaming_unsupported', message, param: 'body.stream', line };
}

/** A response that is only begun cannot become a result line. */
export function backgroundUnsupported(line: number, endpointTitle: string, value: unknown): BatchError {
  const advice = `"background" is ${json(value)}. Remove it: the batch itself runs in the background.`;
  const message = `${endpointTitle}: Background mode is not supported in the Batch API. ${advice}`;
  return { code: 'streaming_unsupported', message, param: 'body.background', line };
}

/** V14: no upstream serves the model. `known` are the models of its upstream, or of all where that is null. */
export function modelNotFound(
  model: string,
  line: number,
  { upstream, known }: { upstream: string | null; known: readonly string[] },
): BatchError {
  const meant = closestName(model, known);
  const message = joined(
    `The provided model '${quoted(model)}' is not supported by the Batch API.`,
    known.length === 0 ? null : `${upstream === null ? 'The upstreams have' : `Upstream "${upstream}" has`} ${someOf(known)}.`,
    meant === null ? null : `Did you mean "${quoted(meant)}"?`,
  );
  return { code: 'model_not_found', message, param: 'body.model', line };
}

const MODELS_SHOWN = 5;

function someOf(models: readonly string[]): string {
  const shown = models.slice(0, MODELS_SHOWN).map((model) => `"${quoted(model)}"`);
  return models.length > MODELS_SHOWN ? `${shown.join(', ')} and ${models.length - MODELS_SHOWN} more` : shown.join(', ');
}

/** V16: more requests than a batch may have. */
export function tooManyTasks(maxRequests: number): BatchError {
  const message = `The batch input file contains more than the ${maxRequests} requests maximum.`;
  return { code: 'too_many_tasks', message, param: null, line: null };
}

/** V17: larger than an input file may be; `model` is the one its first line names, if it is known. */
export function inputFileTooLarge(maxBytes: number, model: string | null): BatchError {
  const suffix = model === null ? '' : ` for the ${quoted(model)} model`;
  const message = `The batch input file is larger than the ${maxBytes} maximum${suffix}`;
  return { code: 'file_too_large', message, param: null, line: null };
}

/** V18: more inputs, summed over all lines, than an embeddings batch may have. */
export function tooManyEmbeddingInputs(maxInputs: number): BatchError {
  const message = `The batch input file contains more than the ${maxInputs} embedding inputs maximum, summed over all requests.`;
  return { code: 'too_many_embedding_inputs', message, param: null, line: null };
}

/** So many blank lines stand between the requests that the plan would have more shards than a batch may have. */
export function inputTooSparse(maxShards: number): BatchError {
  const message = `The file has too many blank lines: it would need more than ${maxShards} shards. Remove blank lines or split the file.`;
  return { code: 'input_too_sparse', message, param: null, line: null };
}

/** The file cannot be checked: each worker that tried was gone before it had read the file to its end. `line` is the last one it is known to have reached. */
export function inputCrashedWorker(losses: number, line: number): BatchError {
  const message = `The workers that checked this file were lost ${losses} times, the last one after line ${line}. A line may need more memory than a worker has: split long lines, or ask the operator for larger workers.`;
  return { code: 'input_crashed_worker', message, param: null, line: null };
}

/** The entry after the last error that is reported. */
export function tooManyErrors(most = MAX_BATCH_ERRORS): BatchError {
  const message = `Validation stopped after ${most} errors.`;
  return { code: 'too_many_errors', message, param: null, line: null };
}

function joined(...sentences: readonly (string | null)[]): string {
  return sentences.filter((sentence) => sentence !== null).join(' ');
}

function json(value: unknown): string {
  return quoted(JSON.stringify(value));
}

/** A value of a client as messages show it. */
function quoted(text: string): string {
  return shownText(text, 80);
}

import type { BatchError } from '../src/domain/batch.ts';
import * as batches from '../src/api/errors/batch-errors.ts';
import { type ApiError, internal } from '../src/api/errors/api-error.ts';
import * as files from '../src/api/errors/file-errors.ts';
import * as limits from '../src/api/errors/limit-errors.ts';
import * as parameters from '../src/api/errors/parameter-errors.ts';
import * as requests from '../src/api/errors/request-errors.ts';
import * as input from '../src/domain/input-errors.ts';
import * as uploads from '../src/api/errors/upload-errors.ts';
import * as operators from '../src/api/errors/operator-errors.ts';
import * as webhooks from '../src/api/errors/webhook-errors.ts';

/** An error and what its reader can do about it. */
export type Explained<Shape> = readonly [error: Shape, advice: string];

/** One sample for each function of a module that makes such an error, so that a new one without advice does not compile. */
type Samples<Module, Shape> = {
  readonly [Name in keyof Module as Module[Name] extends (...given: never[]) => Shape ? Name : never]: Explained<Shape>;
};

const AGAIN = 'Try again after `Retry-After`. [Repeating is safe](api.md#repeating-a-call).';

const http = { ...requests, ...parameters, ...files, ...limits, internal };

/** Errors of several routes. */
export const HTTP_ERRORS: Samples<typeof http, ApiError> = {
  badTarget: [http.badTarget('#'), 'Send a path such as `/v1/batches`.'],
  malformedJson: [http.malformedJson(), 'Send JSON. Check quotes and commas.'],
  bodyNotObject: [http.bodyNotObject(), 'Send an object, `{…}`.'],
  missingParameter: [http.missingParameter('endpoint'), 'Add the parameter.'],
  unknownParameter: [http.unknownParameter('endpiont'), 'Remove the parameter, or correct its name.'],
  invalidType: [http.invalidType('endpoint', 'a string', 'a number'), 'Send a value of the type that the message names.'],
  invalidValue: [http.invalidValue('completion_window', '2h', ['24h']), 'Use one of the values that the message lists.'],
  invalidSpan: [http.invalidSpan('from', "'2026-02-01' is after 'to', '2026-01-01'. Send an earlier day."), 'Ask for other days.'],
  priorityNotAllowed: [
    http.priorityNotAllowed('metadata.nightshift_priority', '1', ['3', '4', '5']),
    'Ask for a priority that the message lists.',
  ],
  emptyString: [http.emptyString('input_file_id'), 'Send the value.'],
  stringAboveMaxLength: [http.stringAboveMaxLength('metadata.team', 512, 600), 'Send a shorter string.'],
  propertyNameAboveMaxLength: [http.propertyNameAboveMaxLength('metadata', 64, 70), 'Use a shorter key.'],
  arrayAboveMaxLength: [http.arrayAboveMaxLength('part_ids', 10_000, 10_001), 'Send fewer items. Make parts larger.'],
  metadataTooManyProperties: [http.metadataTooManyProperties(17), 'Use at most 16 keys.'],
  integerBelowMin: [http.integerBelowMin('limit', 1, 0), 'Send a larger number.'],
  integerAboveMax: [http.integerAboveMax('limit', 100, 200), 'Send a smaller number.'],
  unknownCursor: [http.unknownCursor('batch_…'), 'Use the `last_id` of the page before.'],
  wrongPurpose: [http.wrongPurpose('file-…', 'user_data'), 'Upload the file again with `purpose` `batch`.'],
  notJsonl: [http.notJsonl('Line 1: …'), 'Upload a `.jsonl` file. The end of the message says what its first line is.'],
  fileTooLarge: [http.fileTooLarge(), 'Split the file. The limit is 200 MiB unless the operator changed it.'],
  notDownloadable: [http.notDownloadable('user_data'), 'Download output and error files only, or input files of purpose `batch`.'],
  unsupportedEncoding: [http.unsupportedEncoding('gzip'), 'Send the body uncompressed.'],
  invalidApiKey: [http.invalidApiKey(), 'Check the key. The operator sets keys in `NIGHTSHIFT_API_KEYS` or the tenants file.'],
  foreignHost: [http.foreignHost('batch.example.com'), 'Operators: set API keys, or add the name to `NIGHTSHIFT_ALLOWED_HOSTS`.'],
  foreignOrigin: [
    http.foreignOrigin('https://example.com'),
    'Operators: add the origin to `NIGHTSHIFT_CORS_ORIGINS` if you trust the page.',
  ],
  unknownRoute: [http.unknownRoute('GET', '/batches', '/v1/batches'), 'Check the base URL. It ends in `/v1`.'],
  fileNotFound: [http.fileNotFound('file-…'), 'Check the id and the key. Deleted and expired files answer like unknown ones.'],
  methodNotAllowed: [http.methodNotAllowed('PUT', '/v1/files'), 'See [the list of calls](api.md#endpoints).'],
  requestTimeout: [http.requestTimeout(), 'Send the body again, faster. Proxies that buffer slowly cause this too.'],
  emptyArray: [http.emptyArray('event_types'), 'Name at least one.'],
  modelNotFound: [http.modelNotFound('gpt-5'), 'Use a model that `GET /v1/models` lists.'],
  idempotencyConflict: [http.idempotencyConflict(), 'Use a new key for each batch.'],
  bodyTooLarge: [http.bodyTooLarge(536_870_912, 'file'), 'Send less, or use [uploads in parts](api.md#files-in-parts).'],
  unsupportedMediaType: [http.unsupportedMediaType('text/plain'), 'Send `Content-Type: application/json`.'],
  rateLimited: [
    http.rateLimited('60 requests per minute', 1),
    'Try again after `Retry-After`. Raise `max_retries` of the SDK if you submit many files.',
  ],
  tooManyOpenBatches: [http.tooManyOpenBatches(10), 'Wait until a batch has ended.'],
  storageFull: [http.storageFull(1_000_000_000), 'Delete files that you no longer need.'],
  internal: [http.internal(), 'Try again. Give the `x-request-id` to the operator, who finds the cause in the log.'],
  unavailable: [http.unavailable('object store', 5), AGAIN],
  tooBusy: [http.tooBusy(5), AGAIN],
  outOfSpace: [http.outOfSpace(), 'Ask the operator to [make room](operations.md#the-bucket-is-full-or-away).'],
};

/** The errors of `src/api/errors/batch-errors.ts`. */
export const BATCH_ERRORS: Samples<typeof batches, ApiError> = {
  batchNotFound: [batches.batchNotFound('batch_…'), "Check the id and the key. Another tenant's batches answer like unknown ones."],
  tooLargeToEstimate: [
    batches.tooLargeToEstimate('file-…', 300_000_000, 209_715_200),
    'Upload the first lines as a file of their own, and estimate that.',
  ],
  estimateTookTooLong: [
    batches.estimateTookTooLong('file-…', 50, 40_000),
    'Upload the first lines as a file of their own, and estimate that. Try again later if the service was busy.',
  ],
  cannotRetry: [
    batches.cannotRetry('batch_…', "it has the status 'in_progress', and only a batch that has ended can be run again"),
    'The end of the message says what is missing: wait for the end of the batch, or upload the lines again.',
  ],
  cannotDelete: [batches.cannotDelete('in_progress'), 'Cancel the batch, wait until it is `cancelled`, then delete it.'],
  resultsGone: [batches.resultsGone('batch_…'), 'Create a new batch. Download results before they expire.'],
  batchWasDeleted: [batches.batchWasDeleted('batch_…'), 'Use another `Idempotency-Key`.'],
  cannotPause: [batches.cannotPause('finalizing', 'status'), 'Nothing: the last requests have ended.'],
  cannotResume: [batches.cannotResume('completed'), 'Nothing: the batch has ended.'],
  cannotReadInput: [
    batches.cannotReadInput('s3://team-a/in.jsonl', 'there is no such object. Check its key, and that it is uploaded'),
    'Name an object below the address that the operator gave you.',
  ],
  cannotCancel: [batches.cannotCancel('completed'), 'Nothing: the batch has ended.'],
};

/** The errors of `src/api/errors/operator-errors.ts`. */
export const OPERATOR_ERRORS: Samples<typeof operators, ApiError> = {
  operatorsOnly: [
    operators.operatorsOnly('acme'),
    'Use the key of an operator. `NIGHTSHIFT_OPERATOR_TENANTS` or `operator: true` in the tenants file says which tenants are operators.',
  ],
  upstreamNotFound: [
    operators.upstreamNotFound('gpu', ['main']),
    'Use a name that the message lists. A new upstream is known seconds after a worker has started with it.',
  ],
};

/** The errors of `src/api/errors/webhook-errors.ts`. */
export const WEBHOOK_ERRORS: Samples<typeof webhooks, ApiError> = {
  invalidWebhookUrl: [
    webhooks.invalidWebhookUrl('http://127.0.0.1/', 'expected a URL that begins with https://'),
    'Use a public HTTPS URL. For a private network the operator sets `NIGHTSHIFT_WEBHOOK_ALLOW_PRIVATE`.',
  ],
  webhookNotFound: [webhooks.webhookNotFound('whe_…'), 'Use an id that `GET /v1/webhook_endpoints` lists.'],
  tooManyWebhooks: [webhooks.tooManyWebhooks(20), 'Delete an endpoint first.'],
  webhooksAreOff: [webhooks.webhooksAreOff(), 'The operator sets `NIGHTSHIFT_WEBHOOK_KEY`.'],
  webhookTestFailed: [
    webhooks.webhookTestFailed('the receiver answered with status 500, expected 200 to 299'),
    'Look at the receiver. The end of the message says what it did.',
  ],
};

/** The errors of `src/api/errors/upload-errors.ts`. */
export const UPLOAD_ERRORS: Samples<typeof uploads, ApiError> = {
  uploadNotFound: [uploads.uploadNotFound('upload_…'), 'Check the id and the key. An upload is gone an hour after its creation.'],
  uploadNotPending: [uploads.uploadNotPending('complete', 'expired'), 'Create a new upload.'],
  uploadPartTooLarge: [uploads.uploadPartTooLarge(67_108_864), 'Make the part smaller.'],
  uploadFull: [uploads.uploadFull(8_589_934_592, 10_000), 'Make fewer, larger parts, or split the file.'],
  invalidUploadParts: [uploads.invalidUploadParts('a part is named twice.'), 'Name each part once, in the order of the file.'],
  md5Mismatch: [uploads.md5Mismatch('…', '…'), 'Check the order of the parts. Send parts that were damaged again.'],
};

/** Errors that files of `src/api` make in place, by their message. */
export const SOURCE_ERRORS: Readonly<Record<string, string>> = {
  'The request could not be parsed as HTTP.': 'Send HTTP/1.1. TLS belongs to a proxy in front of the API.',
  "The request has no 'Host' header.": 'Send the header `Host`.',
  'The headers of the request did not arrive in time.': 'Send the headers at once.',
  'The requested range is not satisfiable: the content has … bytes.': 'Ask for a range inside the content.',
  "Only '100-continue' can be expected in the header 'Expect'.": 'Remove the header `Expect`.',
  'The headers of the request are too many, or larger than … bytes.': 'Send fewer or shorter headers.',
};

/** Faults of multipart forms, by their message. */
export const FORM_ERRORS: Readonly<Record<string, string>> = {
  "The form field '…' is too long.": 'Send a shorter value. The file goes into the part `file`.',
  "The form has more than one part named '…'.": 'Send one file for each call.',
  'The multipart form in the body could not be parsed.': "Let your HTTP client build the form: curl's `-F`, or an SDK.",
  'The request must be a form: expected the content type multipart/form-data with a boundary.': 'Send a multipart form, not JSON.',
  'The content type multipart/form-data has no boundary.': 'Do not set the header `Content-Type` yourself.',
};

const LINE = 'Correct the line.';

/** The errors of `src/domain/input-errors.ts`. */
export const INPUT_ERRORS: Samples<typeof input, BatchError> = {
  inputFileNotFound: [
    input.inputFileNotFound('file-…'),
    'Upload the file again. It does not exist, has expired, or belongs to another key.',
  ],
  emptyFile: [input.emptyFile(), 'Put at least one request into the file.'],
  invalidJsonLine: [input.invalidJsonLine(3, '…'), 'Correct the line. The end of the message says which character is wrong.'],
  lineTooLarge: [input.lineTooLarge(3, 67_108_864), 'Make the request smaller, or ask the operator to raise `NIGHTSHIFT_MAX_LINE_BYTES`.'],
  notAnObject: [input.notAnObject(1, 'an array'), 'Write one object on each line.'],
  missingRequired: [input.missingRequired(3, 'custom_id', null), 'Add the member.'],
  wrongType: [input.wrongType(3, 'body', 'an object', 'a string'), LINE],
  blankCustomId: [input.blankCustomId(3), 'Give the line a `custom_id`.'],
  customIdTooLong: [input.customIdTooLong(3, 512, 600), 'Use a shorter `custom_id`.'],
  duplicateCustomId: [input.duplicateCustomId(3, 'a-1', 1), 'Give each line its own `custom_id`.'],
  invalidMethod: [input.invalidMethod(3, 'GET'), 'Write `"method": "POST"`.'],
  invalidUrl: [
    input.invalidUrl(3, '/chat/completions', '/v1/chat/completions'),
    "Write the batch's endpoint as the `url` of every line. Put other endpoints into another batch.",
  ],
  requiredInBody: [input.requiredInBody(3, ['messages']), 'Add the member to `body`.'],
  noDefaultModel: [input.noDefaultModel(3), 'Add `model` to `body`.'],
  modelTooLong: [input.modelTooLong(3, 4096, 5000), 'Check the name of the model.'],
  streamingUnsupported: [input.streamingUnsupported(3, 'Chat Completions', true), 'Remove `stream`.'],
  backgroundUnsupported: [input.backgroundUnsupported(3, 'Responses', true), 'Remove `background`.'],
  modelNotFound: [
    input.modelNotFound('gpt-5', 3, { upstream: null, known: ['qwen3-8b'] }),
    'Use a model that the message names. Operators can add [aliases](configuration.md#names-of-models-and-members-that-are-added).',
  ],
  tooManyTasks: [input.tooManyTasks(50_000), 'Split the file.'],
  inputFileTooLarge: [input.inputFileTooLarge(209_715_200, 'qwen3-8b'), 'Split the file.'],
  tooManyEmbeddingInputs: [input.tooManyEmbeddingInputs(50_000), 'Split the file.'],
  inputTooSparse: [input.inputTooSparse(10_000), 'Remove blank lines, or split the file.'],
  inputCrashedWorker: [input.inputCrashedWorker(5, 3), 'Split long lines. Operators: give workers more memory.'],
  tooManyErrors: [input.tooManyErrors(), 'Correct the lines above. `nightshift check FILE` finds all of them at once.'],
};

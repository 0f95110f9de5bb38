import { BATCH_STATUSES } from '../../domain/batch.ts';
import { LINE_OUTCOMES } from '../../domain/closed-lines.ts';
import { MAX_FAILURE_GROUPS } from '../../domain/failures.ts';
import { WAITING_REASONS } from '../../domain/waiting.ts';
import { UPLOAD_PURPOSES } from '../../domain/file.ts';
import { UPLOAD_STATUSES } from '../../domain/upload.ts';
import {
  always,
  whole,
  count,
  listOf,
  named,
  oneOf,
  orNull,
  type Schema,
  text,
  textOrNull,
  unixSeconds,
  unixSecondsOrNull,
} from './json-schema.ts';
import { estimateSchemas } from './estimate-schemas.ts';
import { usageSchemas } from './usage-paths.ts';
import { operatorSchemas } from './operator-paths.ts';
import { webhookSchemas } from './webhook-paths.ts';

const id = (pattern: string): Schema => ({ type: 'string', pattern });

const usage = whole({
  input_tokens: count,
  input_tokens_details: whole({ cached_tokens: count }),
  output_tokens: count,
  output_tokens_details: whole({ reasoning_tokens: count }),
  total_tokens: count,
});

const batchMembers = whole({
  id: id('^batch_[0-9a-f]{32}$'),
  object: always('batch'),
  endpoint: text,
  model: { ...textOrNull, description: 'The model of all lines; null if they name several' },
  errors: orNull(whole({ object: always('list'), data: { type: 'array', items: named('BatchError') } })),
  input_file_id: text,
  completion_window: text,
  status: oneOf(BATCH_STATUSES),
  output_file_id: textOrNull,
  error_file_id: textOrNull,
  created_at: unixSeconds,
  in_progress_at: unixSecondsOrNull,
  expires_at: unixSeconds,
  finalizing_at: unixSecondsOrNull,
  completed_at: unixSecondsOrNull,
  failed_at: unixSecondsOrNull,
  expired_at: unixSecondsOrNull,
  cancelling_at: unixSecondsOrNull,
  cancelled_at: unixSecondsOrNull,
  request_counts: whole({ total: count, completed: count, failed: count }),
  usage,
  metadata: orNull({ type: 'object', additionalProperties: text }),
});
/** Members that are there only where they say something. */
const batch: Schema = {
  ...batchMembers,
  properties: {
    ...Object(batchMembers['properties']),
    nightshift: {
      type: 'object',
      properties: {
        lines_per_second: {
          type: ['number', 'null'],
          description: 'Lines that ended per second, over the last half minute, until the batch has ended',
        },
        eta_at: { ...unixSecondsOrNull, description: 'When the batch ends at this rate' },
        in_flight: { ...count, description: 'Requests that wait for their answer' },
        paused_at: { ...unixSeconds, description: 'Since when the batch is paused; absent while it is not' },
        waiting: { type: 'array', items: named('Waiting'), description: 'Why lines wait, until the batch has ended' },
        failures: {
          type: 'array',
          items: named('FailureGroup'),
          maxItems: MAX_FAILURE_GROUPS,
          description: 'Why lines failed, the most frequent cause first',
        },
        retry_of: { ...text, description: 'The batch whose lines this one runs again' },
        deduplicated: { ...count, description: 'How many requests were not sent, because they got the answer of an equal one' },
        retried_by: { type: 'array', items: text, description: 'The batches that run lines of this one again' },
      },
    },
  },
};

const resultMembers = whole({
  id: id('^line_[0-9]+$'),
  object: always('batch.result'),
  line: { type: 'integer', minimum: 1, description: 'Number of the line in the input file, blank lines counted' },
  custom_id: text,
  outcome: oneOf(LINE_OUTCOMES),
  status: { type: ['integer', 'null'], description: 'HTTP status of the answer; null if there was none' },
  error: orNull(whole({ code: textOrNull, message: text })),
  attempts: { ...count, description: 'How often the request was sent' },
  milliseconds: { type: ['integer', 'null'], minimum: 0, description: 'How long the last attempt took' },
  usage: orNull(usage),
  result_id: { ...text, description: 'The `id` of the line in the result file' },
  request_id: textOrNull,
});
const result: Schema = {
  ...resultMembers,
  properties: {
    ...Object(resultMembers['properties']),
    body: { description: 'Body of the answer. There with `body=true`', type: ['object', 'null'] },
    body_left_out: { type: 'boolean', description: 'Whether the line is too long for a page. There with `body=true`' },
  },
};

const file = whole({
  id: id('^file-[0-9a-f]{24}$'),
  object: always('file'),
  bytes: count,
  created_at: unixSeconds,
  expires_at: unixSecondsOrNull,
  filename: text,
  purpose: oneOf([...UPLOAD_PURPOSES, 'batch_output']),
  status: always('processed'),
  status_details: { type: 'null' },
});

const upload = whole({
  id: id('^upload_[0-9a-f]{32}$'),
  object: always('upload'),
  bytes: count,
  created_at: unixSeconds,
  expires_at: unixSeconds,
  filename: text,
  purpose: oneOf(UPLOAD_PURPOSES),
  status: oneOf(UPLOAD_STATUSES),
  file: orNull(named('File')),
});

/** What the API answers with, by name. */
export const schemas: Readonly<Record<string, Schema>> = {
  Batch: batch,
  Waiting: whole({
    reason: oneOf(WAITING_REASONS),
    message: { ...text, description: 'The reason in a sentence for people' },
    upstream: textOrNull,
    server_says: { ...textOrNull, description: "The status and the server's own words" },
    since: unixSecondsOrNull,
    lines: orNull(count),
  }),
  FailureGroup: whole({
    status: { type: ['integer', 'null'], description: 'HTTP status of the answers; null if there were none' },
    code: text,
    message: { ...text, description: 'The first 80 characters' },
    lines: { ...count, description: 'How many lines failed like this' },
    example: { ...text, description: 'The custom_id of the first of them' },
    custom_ids: { type: 'array', items: text, maxItems: 3 },
  }),
  BatchError: whole({ code: text, message: text, param: textOrNull, line: { type: ['integer', 'null'], minimum: 1 } }),
  BatchDeleted: whole({ id: text, object: always('batch'), deleted: always(true) }),
  BatchList: listOf('Batch'),
  BatchResult: result,
  BatchResultList: listOf('BatchResult'),
  File: file,
  FileList: listOf('File'),
  FileDeleted: whole({ id: text, object: always('file'), deleted: always(true) }),
  Upload: upload,
  UploadPart: whole({
    id: id('^part_[0-9a-f]{32}$'),
    object: always('upload.part'),
    created_at: unixSeconds,
    upload_id: id('^upload_[0-9a-f]{32}$'),
  }),
  Model: whole({ id: text, object: always('model'), created: unixSeconds, owned_by: text }),
  ModelList: whole({ object: always('list'), data: { type: 'array', items: named('Model') } }),
  ...estimateSchemas,
  ...operatorSchemas,
  ...webhookSchemas,
  ...usageSchemas,
  Health: whole({ status: always('ok') }),
  Readiness: {
    type: 'object',
    required: ['ready'],
    properties: { ready: { type: 'boolean' }, temporal: { type: 'boolean' }, bucket: { type: 'boolean' }, draining: { type: 'boolean' } },
  },
  Error: whole({ error: whole({ message: { type: 'string', minLength: 1 }, type: text, param: textOrNull, code: textOrNull }) }),
};

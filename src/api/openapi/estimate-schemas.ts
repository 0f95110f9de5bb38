import { TOKEN_METHOD } from '../../domain/estimate-tokens.ts';
import { always, count, named, orNull, type Schema, text, textOrNull, whole } from './json-schema.ts';

const amount: Schema = { type: 'number', minimum: 0 };
const countOrNull: Schema = { type: ['integer', 'null'], minimum: 0 };
const cost: Schema = {
  ...orNull(
    whole({
      currency: text,
      input: amount,
      max_output: { ...orNull(amount), description: 'Null where a request does not limit its answer' },
      max_total: orNull(amount),
    }),
  ),
  description: 'By the price list of the operator; null where it has no price',
};
const tokens = {
  input_tokens: { ...count, description: 'Estimated: four bytes of text are taken for a token' },
  max_output_tokens: { ...countOrNull, description: 'Sum of the limits of the requests; null where one sets none' },
  requests_with_media: { ...count, description: 'Requests with pictures, sound or files, whose tokens are not estimated' },
};

/** What `POST /v1/batches/estimate` answers with, by name. */
export const estimateSchemas: Readonly<Record<string, Schema>> = {
  BatchEstimate: whole({
    object: always('batch.estimate'),
    input_file_id: text,
    endpoint: text,
    valid: { type: 'boolean', description: 'Whether the batch would run' },
    errors: orNull(whole({ object: always('list'), data: { type: 'array', items: named('BatchError') } })),
    requests: count,
    models: {
      type: 'array',
      items: whole({ model: textOrNull, upstream: textOrNull, upstream_model: textOrNull, requests: count, ...tokens, cost }),
    },
    upstreams: {
      type: 'array',
      items: whole({ name: text, requests: count, requests_per_second: orNull(amount), seconds: countOrNull }),
    },
    ...tokens,
    token_method: always(TOKEN_METHOD),
    seconds: { ...countOrNull, description: 'At the known pace of the upstreams, without other batches; null where it is not known' },
    cost,
  }),
};

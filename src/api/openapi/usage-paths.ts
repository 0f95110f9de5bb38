import { USAGE_GROUPS } from '../../domain/usage.ts';
import { always, count, named, oneOf, type Schema, text, textOrNull, whole } from './json-schema.ts';
import { answers, operation, query } from './operation.ts';

const day: Schema = { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}$', description: 'A day in UTC' };
const sums = whole({ requests: count, failed: count, input_tokens: count, output_tokens: count, total_tokens: count });

/** What requests and tokens were used. */
export const usagePaths: Schema = {
  '/v1/nightshift/usage': {
    get: operation('usage', 'Requests and tokens of batches that have ended', {
      parameters: [
        query('from', 'The first day, in UTC; 29 days before `to` by default', day),
        query('to', 'The last day, in UTC; today by default', day),
        query('group_by', `What to sum by, with commas between: ${USAGE_GROUPS.join(', ')}; \`day,model\` by default`),
        query('format', 'How to answer', { ...oneOf(['json', 'csv']), default: 'json' }),
      ],
      success: {
        200: withCsv(answers('The sums of your tenant; with the key of an operator, of all tenants', 'Usage')),
      },
      errors: [400],
    }),
  },
};

function withCsv(answer: Schema): Schema {
  return { ...answer, content: { ...Object(answer['content']), 'text/csv': { schema: text } } };
}

export const usageSchemas: Readonly<Record<string, Schema>> = {
  Usage: whole({
    object: always('list'),
    from: day,
    to: day,
    group_by: { type: 'array', items: oneOf(USAGE_GROUPS) },
    data: { type: 'array', items: named('UsageRow') },
  }),
  UsageRow: {
    ...sums,
    properties: {
      day,
      model: { ...textOrNull, description: 'Null for requests that named no model' },
      tenant: text,
      ...Object(sums['properties']),
    },
  },
};

import type { UsageQuery } from './api-client.ts';
import { defineCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { count } from './progress-line.ts';
import { table } from './table.ts';

const SUMS = ['requests', 'failed', 'input_tokens', 'output_tokens', 'total_tokens'] as const;

/** `nightshift usage`. */
export const usage = defineCommand({
  usage: 'usage [options]',
  about: `
Shows requests and tokens of the batches that have ended, by day (UTC) and model. The key of an operator shows all tenants. Requests
that never ran are not counted. What deleted batches used stays counted.`,
  options: {
    from: { type: 'string', value: 'DAY', help: 'the first day, such as 2027-01-31; 29 days before the last one by default' },
    to: { type: 'string', value: 'DAY', help: 'the last day; today by default' },
    by: { type: 'string', value: 'GROUPS', default: 'day,model', help: 'what to sum by: some of day,model,tenant' },
    csv: { type: 'boolean', help: 'print CSV' },
    json: { type: 'boolean', help: 'print the answer of the API' },
  },
  words: [0, 0],
  async run(values, _words, { api, output }) {
    const query: UsageQuery = { from: values.from ?? null, to: values.to ?? null, groupBy: values.by };
    const { client } = api();
    if (values.csv) {
      output.print(await client.usageCsv(query));
      return EXIT.ok;
    }
    const found = await client.usage(query);
    if (values.json) output.printJson(found);
    else if (found.data.length === 0) output.note(`no batch ended with results from ${found.from} to ${found.to}`);
    else {
      const groups = found.group_by;
      const header = [...groups, ...SUMS].map((column) => column.toUpperCase().replace('_', ' '));
      const rows = found.data.map((row) => [...groups.map((group) => row[group] ?? '-'), ...SUMS.map((sum) => count(row[sum]))]);
      output.print(table(header, rows));
    }
    return EXIT.ok;
  },
});

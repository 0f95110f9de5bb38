import { WrongCall } from './command-error.ts';
import { defineCommand, wholeNumber } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { count, duration } from './progress-line.ts';
import type { BatchResultPage } from './read-results.ts';
import { table } from './table.ts';
import type { BatchResult } from '../domain/batch-result.ts';
import { LINE_OUTCOMES } from '../domain/closed-lines.ts';

const HEADER = ['LINE', 'CUSTOM_ID', 'OUTCOME', 'STATUS', 'ATTEMPTS', 'TIME', 'TOKENS', 'ERROR'];
const PAGE = 1000;

/** `nightshift results`. */
export const results = defineCommand({
  usage: 'results ID [options]',
  about: `
Lists the lines of a batch that have a result, in the order of the input, also while the batch runs. download writes the results themselves.`,
  options: {
    limit: { type: 'string', value: 'N', default: '20', help: 'how many; 20 by default' },
    all: { type: 'boolean', help: 'all of them, without a limit' },
    status: { type: 'string', value: 'STATUS', multiple: true, help: `${LINE_OUTCOMES.join(', ')}; several with commas` },
    'custom-id': { type: 'string', value: 'CUSTOM_ID', help: 'only this line' },
    after: { type: 'string', value: 'LINE', help: 'go on after this line' },
    body: { type: 'boolean', help: 'with the bodies of the answers; implies --json' },
    json: { type: 'boolean', help: 'print each line as JSON' },
  },
  words: [1, 1],
  async run(values, [id = ''], { api, output }) {
    const { client } = api();
    const asJson = values.json || values.body;
    let left = values.all ? Infinity : wholeNumber('limit', values.limit, 1, 1_000_000);
    const status = readOutcomes(values.status);
    let after = values.after === undefined ? null : `line_${wholeNumber('after', values.after, 0, 999_999_999)}`;
    let page: BatchResultPage | null = null;
    do {
      const query = { limit: Math.min(PAGE, left), after, status, customId: values['custom-id'], withBody: values.body };
      const isFirst: boolean = page === null;
      page = await client.listResults(id, query);
      left -= page.data.length;
      if (asJson) for (const each of page.data) output.printJson(each);
      else if (page.data.length > 0) output.print(isFirst ? table(HEADER, page.data.map(row)) : withoutHeader(page.data));
      // An API that ignores `after` would answer the same page again and again.
      if (page.lastId === after) break;
      after = page.lastId ?? after;
    } while (page.hasMore && left > 0 && !output.isClosed);
    const more = values.status.map((each) => ` --status ${each}`).join('');
    if (page.hasMore) output.note(`more: nightshift results ${id}${more} --after ${String(after).replace('line_', '')}`);
    if (page.isIncomplete) output.note('The batch has not ended: more lines may come, also before those that are shown.');
    return EXIT.ok;
  },
});

function withoutHeader(page: readonly BatchResult[]): string {
  const text = table(HEADER, page.map(row));
  return text.slice(text.indexOf('\n') + 1);
}

function row({ line, custom_id, outcome, status, attempts, milliseconds, usage, error }: BatchResult): string[] {
  const said = error === null ? '' : [error.code, error.message].filter((each) => each !== null).join(': ');
  return [
    String(line),
    custom_id,
    outcome,
    String(status ?? '-'),
    count(attempts),
    milliseconds === null ? '-' : milliseconds < 60_000 ? `${(milliseconds / 1000).toFixed(1)} s` : duration(milliseconds / 1000),
    usage === null ? '-' : count(usage.total_tokens),
    said,
  ];
}

function readOutcomes(given: readonly string[]): string | undefined {
  const names = given.flatMap((each) => each.split(',')).map((each) => each.trim());
  const unknown = names.find((each) => !LINE_OUTCOMES.some((outcome) => outcome === each));
  if (unknown !== undefined) throw new WrongCall(`--status is ${JSON.stringify(unknown)}, but it takes ${LINE_OUTCOMES.join(', ')}.`);
  return names.length === 0 ? undefined : names.join(',');
}

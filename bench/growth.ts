/**
 * How the product grows: one run per number of lines and one per number of worker processes, each on a fresh stack, as
 * Markdown tables. `npm run bench:growth -- --sizes 100,1000,10000,100000 --workers 1,2,4 --worker-lines 10000`; an empty
 * list leaves a table out. Answers take `--latency` milliseconds, `--in-flight` requests are sent at a time.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { describeMachine } from './run/machine.ts';
import { measureRun, type RunFigures } from './run/measure-run.ts';

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '100,1000,10000,100000' },
    workers: { type: 'string', default: '1,2,4' },
    'worker-lines': { type: 'string', default: '10000' },
    latency: { type: 'string', default: '50' },
    sigma: { type: 'string', default: '0' },
    'in-flight': { type: 'string', default: '256' },
    bytes: { type: 'string', default: '400' },
  },
});

console.log(
  `Lines of about ${values.bytes} bytes, ${values.latency} ms upstream (sigma ${values.sigma}), ${values['in-flight']} in flight over all workers; ${describeMachine()}`,
);

const COLUMNS: readonly string[] = [
  'seconds',
  'requests/s',
  'of in flight ÷ mean answer',
  'worker RSS, MB',
  'API RSS, MB',
  'Temporal RSS, MB',
  'MinIO RSS, MB',
  'events/request',
  'actions/request',
  'longest run, events',
  'load before',
];

await table('lines', numbers(values.sizes), async (lines) => await row(lines, 1));
await table('workers', numbers(values.workers), async (workers) => await row(Number(values['worker-lines']), workers));

/** Prints each row when it is there: the last ones take long. */
async function table(name: string, counts: readonly number[], rowOf: (count: number) => Promise<string[]>): Promise<void> {
  if (counts.length === 0) return;
  console.log(`\n${markdown([name, ...COLUMNS])}\n${markdown(['---:', ...COLUMNS.map(() => '---:')])}`);
  for (const count of counts) console.log(markdown([count.toLocaleString('en'), ...(await rowOf(count))]));
}

async function row(lines: number, workers: number): Promise<string[]> {
  const loadBefore = loadavg()[0] ?? NaN;
  const figures = await measureRun({
    lines,
    workers,
    bytes: Number(values.bytes),
    longLineBytes: null,
    latencyMs: Number(values.latency),
    sigma: Number(values.sigma),
    capacity: null,
    inFlight: Number(values['in-flight']),
    batches: 1,
    polling: null,
    bare: false,
    warmLines: 0,
    behind: false,
    linesPerActivity: null,
    store: 'minio',
  });
  const { temporal, wholeSeconds, use } = figures;
  const rss = (name: string) => String(figures.others[name]?.peakRssMb);
  return [
    wholeSeconds.toFixed(1),
    Math.round(lines / wholeSeconds).toLocaleString('en'),
    use.shareOfIdeal.toFixed(2),
    workersRss(figures),
    rss('api'),
    rss('temporal'),
    rss('minio'),
    (temporal.events / lines).toPrecision(3),
    (temporal.actions / lines).toPrecision(3),
    temporal.longestRun.toLocaleString('en'),
    loadBefore.toFixed(1),
  ];
}

/** Of the only worker, or of the largest and all together. */
function workersRss({ workers }: RunFigures): string {
  const each = workers.map(({ peakRssMb }) => peakRssMb);
  const sum = each.reduce((all, one) => all + one, 0);
  return each.length === 1 ? String(sum) : `${Math.max(...each)}, together ${sum}`;
}

function numbers(list: string): number[] {
  return list
    .split(',')
    .filter((item) => item.trim() !== '')
    .map(Number);
}

function markdown(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

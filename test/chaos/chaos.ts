import { parseArgs } from 'node:util';
import { toText } from './report.ts';
import { runChaos } from './run-chaos.ts';

/**
 * `npm run chaos -- --minutes 10 --seed 7`: one run, with its timeline; the exit code says whether anything is wrong. One seed
 * in four plants a line that kills its worker, `--poison` always, `--no-poison` never. `--store embedded` runs without MinIO.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string' },
    poison: { type: 'boolean' },
    store: { type: 'string', default: 'minio' },
  },
  allowNegative: true,
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
const print = (line: string) => void process.stdout.write(`${line}\n`);
print(`chaos with --seed ${seed}`);
const { poison } = values;
const store = values.store === 'embedded' ? 'embedded' : 'minio';
const seconds = Math.round(Number(values.minutes) * 60);
const report = await runChaos({ seed, seconds, store, print, ...(poison === undefined ? {} : { poisoned: poison }) });
print(toText(report));
process.exitCode = report.complaints.length === 0 ? 0 : 1;

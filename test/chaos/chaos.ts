import { parseArgs } from 'node:util';
import { toText } from './report.ts';
import { runChaos } from './run-chaos.ts';

/** `npm run chaos -- --minutes 10 --seed 7`: one run, with its timeline; the exit code says whether anything is wrong. */
const { values } = parseArgs({ options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' } } });
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
const print = (line: string) => void process.stdout.write(`${line}\n`);
print(`chaos with --seed ${seed}`);
const report = await runChaos({ seed, seconds: Math.round(Number(values.minutes) * 60), print });
print(toText(report));
process.exitCode = report.complaints.length === 0 ? 0 : 1;

/**
 * The adaptive limiter in simulated time, against servers that behave like a vLLM, a hosted API and a server that fails. Always
 * the same result. `npm run bench:limiter` writes bench/limiter.md and .svg; with part of a world's name it prints that world only.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createConcurrencyControl } from '../src/upstream/admission/concurrency-control.ts';
import { plot } from './limiter/plot.ts';
import { createFixedControl, type Run, runWorld } from './limiter/run-world.ts';
import { type World, worlds } from './limiter/worlds.ts';

const SEED = 1;
const COLUMNS = [
  'world',
  'limiter',
  'share of the ideal',
  'failed lines',
  'refused',
  'wait of others (p95)',
  'limit, mean',
  'limit, at the end',
];

const [, , filter = ''] = process.argv;
const chosen = worlds.filter(({ name }) => name.includes(filter));
const runs = chosen.map((world) => ({
  world,
  adaptive: runWorld(world, createConcurrencyControl, SEED),
  asking: world.best === null ? null : runWorld(world, createConcurrencyControl, SEED, { asks: true }),
  fixed: runWorld(world, ({ maxInFlight }) => createFixedControl(maxInFlight), SEED),
}));
const rows = runs.flatMap(({ world, adaptive, asking, fixed }) => [
  row(world, 'adaptive', adaptive),
  ...(asking === null ? [] : [row(world, 'adaptive, queue told', asking)]),
  row(world, `fixed, ${Math.round(fixed.meanLimit)}`, fixed),
]);
for (const cells of [COLUMNS, ...rows]) console.log(cells.map((cell, column) => cell.padEnd(column === 0 ? 36 : 14)).join(' '));
console.log(`mean share: ${meanShare(runs.map(({ adaptive }) => adaptive))}, fixed ${meanShare(runs.map(({ fixed }) => fixed))}`);
if (filter === '') {
  const curves = runs.map(({ world, adaptive }) => ({
    title: world.name,
    minutes: world.minutes,
    best: world.best,
    curve: adaptive.curve,
  }));
  writeFileSync(fileURLToPath(new URL('limiter.svg', import.meta.url)), plot(curves));
  writeFileSync(fileURLToPath(new URL('limiter.md', import.meta.url)), page());
}

function row(world: World, limiter: string, run: Run): string[] {
  return [
    world.heldOut === true ? `*${world.name}*` : world.name,
    limiter,
    run.share.toFixed(2),
    String(run.failed),
    `${((100 * run.refused) / Math.max(1, run.refused + run.answers)).toFixed(1)} %`,
    world.best === null ? '' : `${run.waitP95.toFixed(1)} s`,
    String(Math.round(run.meanLimit)),
    String(Math.round(run.lastLimit)),
  ];
}

/** Whoever takes more than the ideal takes it from somebody else: that is no more than all of it. */
function meanShare(all: readonly Run[]): string {
  return (all.reduce((sum, { share }) => sum + Math.min(1, share), 0) / all.length).toFixed(3);
}

function page(): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    '# The adaptive limiter, simulated',
    '',
    '`npm run bench:limiter` writes this page. It runs the limiter against simulated servers, always with the same result.',
    '',
    '- The ideal is what the server can do if it is full from the first to the last second.',
    '- A line fails after five faults. A try after a timeout waits twice as long. The request timeout is 30 minutes unless the world says otherwise.',
    '- The wait of others is the time in the queue of a client that sends one request a second.',
    '- `queue told` means that the workers read the queue of the server every 1.5 s. A hosted API has none.',
    '- No constant was chosen on a world in italics.',
    '',
    `Mean share: ${meanShare(runs.map(({ adaptive }) => adaptive))}, with a fixed limit ${meanShare(runs.map(({ fixed }) => fixed))}.`,
    '',
    '![the limit over time in each world](limiter.svg)',
    '',
    line(COLUMNS),
    line(COLUMNS.map(() => '---')),
    ...rows.map(line),
    '',
    ...worlds.map(({ name, about }) => `- **${name}**: ${about}`),
    '',
  ].join('\n');
}

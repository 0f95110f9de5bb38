/**
 * Runs the test suite: `node test/runner/run.ts [--record] [path…]`. Without paths it runs all of `test/**\/*.test.ts`, with paths
 * the files that begin with one of them. `--record` writes what each file took to `test/runner/durations.json`.
 */
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { conformancePage, totalsLine } from '../conformance/table.ts';
import { testEnvironment } from '../helpers/environment.ts';
import { SHARED_MINIO, startMinio } from '../helpers/servers.ts';
import { cpuSeconds } from './cpu-seconds.ts';
import { groupLightFiles } from './light-files.ts';
import { type FileResult, runFiles, type RunningFiles } from './run-file.ts';
import { type Cost, createSchedule } from './schedule.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DURATIONS = fileURLToPath(new URL('durations.json', import.meta.url));
/** Logs of the last run, and what each of its files took. */
const RESULTS = join(ROOT, 'test-results');
const FILE_TIMEOUT_MS = 600_000;
const SLOWEST = 20;
/** A file with servers takes most of a GB of memory. With four files on two cores a tenth of the processor was idle. */
const FILES_PER_CORE = 2;
const LOOK_AGAIN_MS = 1_000;

const { values, positionals } = parseArgs({ options: { record: { type: 'boolean', default: false } }, allowPositionals: true });
process.chdir(ROOT);
const files = testFiles(positionals);
if (files.length === 0) {
  write(`No test file begins with ${positionals.map((path) => `"${path}"`).join(' or ')}. Give a path such as test/api.`);
  process.exit(1);
}
rmSync(RESULTS, { recursive: true, force: true });
mkdirSync(RESULTS, { recursive: true });
const costs: Record<string, Cost> = JSON.parse(readFileSync(DURATIONS, 'utf8'));
const startedMs = performance.now();
const results = await runAll();
await report(results);

/** Test files below the given paths; a file that is named in full runs whatever its ending is. */
function testFiles(paths: readonly string[]): string[] {
  const all = globSync('test/**/*.test.ts').toSorted();
  if (paths.length === 0) return all;
  const named = paths.map((path) => path.replace(/^\.\//, ''));
  const others = globSync(named.filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts')));
  return [...all.filter((file) => named.some((path) => file.startsWith(path))), ...others];
}

async function runAll(): Promise<FileResult[]> {
  const cores = availableParallelism();
  // What a file costs by itself can only be recorded of one that is alone in its process.
  const groups = new Map(
    (values.record ? files.map((file) => [file]) : groupLightFiles(files, costs)).map((group) => [group[0] ?? '', group] as const),
  );
  const groupCosts = Object.fromEntries([...groups].flatMap(([name, group]) => sumOfCosts(group).map((cost) => [name, cost])));
  const maxFiles = Math.floor(FILES_PER_CORE * cores);
  const schedule = createSchedule([...groups.keys()], groupCosts, { cores, maxFiles, nowMs: () => performance.now() });
  const running = new Map<RunningFiles, { name: string; ended: Promise<RunningFiles> }>();
  const done: FileResult[] = [];
  await using minio = await startMinio();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      for (const each of running.keys()) each.kill();
      minio.process.kill();
      process.kill(process.pid, signal);
    });
  }
  const env = { ...testEnvironment(), NODE_COMPILE_CACHE: join(ROOT, 'node_modules/.cache/nightshift'), [SHARED_MINIO]: minio.endpoint };
  for (;;) {
    for (let name = schedule.next(); name !== null; name = schedule.next()) {
      const started = runFiles(groups.get(name) ?? [], { folder: RESULTS, timeoutMs: FILE_TIMEOUT_MS, env });
      running.set(started, { name, ended: started.result.then(() => started) });
    }
    if (running.size === 0) return done;
    // Another file may fit once one that runs has started its servers.
    const all = [...running.values()].map(({ ended }) => ended);
    const ended = await Promise.race([...all, delay(LOOK_AGAIN_MS, null, { ref: false })]);
    if (ended === null) continue;
    schedule.finished(running.get(ended)?.name ?? '');
    running.delete(ended);
    for (const result of await ended.result) {
      done.push(result);
      print(result, files.length - done.length);
    }
    save(done);
  }
}

/** What files cost that run one after the other; none if no run has recorded one of them. */
function sumOfCosts(group: readonly string[]): Cost[] {
  const known = group.flatMap((file) => costs[file] ?? []);
  if (known.length < group.length) return [];
  const sum = (of: (cost: Cost) => number) => known.reduce((total, cost) => total + of(cost), 0);
  return [{ seconds: sum(({ seconds }) => seconds), cpuSeconds: sum(({ cpuSeconds }) => cpuSeconds) }];
}

function write(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Written after each file, so that a run that is broken off leaves what it knows. */
function save(done: readonly FileResult[]): void {
  const wallSeconds = (performance.now() - startedMs) / 1000;
  writeFileSync(join(RESULTS, 'results.json'), JSON.stringify({ wallSeconds, files: done.map(({ tests: _, ...rest }) => rest) }, null, 2));
  if (values.record) record(done);
}

function isGood({ failed, fault }: FileResult): boolean {
  return failed === 0 && fault === null;
}

function print(result: FileResult, left: number): void {
  const { file, passed, failed, seconds, cpuSeconds, fault, logFolder } = result;
  const tests = `${passed + failed} tests, ${seconds.toFixed(1)} s, CPU ${cpuSeconds.toFixed(1)} s, ${left} files left`;
  write(`${isGood(result) ? '✔' : '✖'} ${file} (${tests})`);
  if (isGood(result)) return;
  write(readFileSync(join(logFolder, 'test.log'), 'utf8').split('\n').slice(-300).join('\n'));
  if (fault !== null) write(`✖ ${file} ${fault}`);
}

async function report(all: readonly FileResult[]): Promise<void> {
  const wallSeconds = (performance.now() - startedMs) / 1000;
  const sum = (of: (result: FileResult) => number) => all.reduce((total, result) => total + of(result), 0);
  const bad = all.filter((result) => !isGood(result));
  // The logs of files that passed tell nothing more.
  const wanted = new Set(bad.map(({ logFolder }) => logFolder));
  for (const { logFolder } of all) if (!wanted.has(logFolder)) rmSync(logFolder, { recursive: true, force: true });
  const slowest = all.toSorted((a, b) => b.seconds - a.seconds);

  write(`\nThe slowest files:`);
  for (const { file, seconds, cpuSeconds } of slowest.slice(0, SLOWEST)) {
    write(`${seconds.toFixed(1).padStart(7)} s  CPU ${cpuSeconds.toFixed(1).padStart(6)} s  ${file}`);
  }
  await reportConformance(all);
  for (const { file, fault, failed, logFolder } of bad) write(`✖ ${file}: ${fault ?? `${failed} tests failed`}, see ${logFolder}`);
  // With the MinIO of the run, which no file has to itself.
  write(`${all.length} files in ${wallSeconds.toFixed(0)} s, CPU ${cpuSeconds().toFixed(0)} s`);
  const failed = sum((result) => result.failed + (result.fault === null ? 0 : 1));
  write(`${sum(({ passed }) => passed)} passed, ${failed} failed, ${sum(({ skipped }) => skipped)} skipped`);
  process.exitCode = bad.length === 0 ? 0 : 1;
}

/** What became of the cases of the wire contract, where all files of them ran. */
async function reportConformance(all: readonly FileResult[]): Promise<void> {
  const ran = new Set(all.map(({ file }) => file));
  if (!globSync('test/conformance/*.test.ts').every((file) => ran.has(file))) return;
  const tests = all.flatMap((result) => result.tests).filter(({ name }) => name.startsWith('case '));
  const outcomes = new Map(tests.map(({ name, isPassed }) => [name, isPassed]));
  writeFileSync(join(RESULTS, 'conformance.md'), await conformancePage(outcomes));
  write(totalsLine(outcomes));
}

/** Keeps what files took in earlier runs where this run did not run them, and forgets files that are gone. */
function record(all: readonly FileResult[]): void {
  const existing = new Set(globSync('test/**/*.test.ts'));
  const latest = all.filter(isGood).map(({ file, seconds, cpuSeconds }): [string, Cost] => {
    return [file, { seconds: Math.round(seconds * 10) / 10, cpuSeconds: Math.round(cpuSeconds * 10) / 10 }];
  });
  const entries = Object.entries({ ...costs, ...Object.fromEntries(latest) }).filter(([file]) => existing.has(file));
  const lines = entries
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, { seconds, cpuSeconds }]) => `  ${JSON.stringify(file)}: { "seconds": ${seconds}, "cpuSeconds": ${cpuSeconds} }`);
  writeFileSync(DURATIONS, `{\n${lines.join(',\n')}\n}\n`);
}

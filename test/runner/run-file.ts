import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunEvent, TestOutcome } from './report-events.ts';

const REPORTER = fileURLToPath(new URL('report-events.ts', import.meta.url));

/** How one test file ended. */
export interface FileResult {
  file: string;
  passed: number;
  failed: number;
  /** Each test that ran, by name. */
  tests: { name: string; isPassed: boolean }[];
  skipped: number;
  seconds: number;
  cpuSeconds: number;
  /** Why the file failed, apart from its tests: it crashed, it hung, or it ran no test. */
  fault: string | null;
  /** Output of the file and logs of the processes that it started. */
  logFolder: string;
}

/** Test files that run in one process. */
export interface RunningFiles {
  readonly result: Promise<FileResult[]>;
  /** Kills the files with every process that they started. */
  kill(): void;
}

/**
 * Runs test files in one process, in a process group of its own, with their output in `test.log` of a folder below `folder`. When they end, or
 * after `timeoutMs`, every process that is left in the group is killed. Several files share the measured time evenly.
 */
export function runFiles(
  files: readonly string[],
  { folder, timeoutMs, env }: { folder: string; timeoutMs: number; env: NodeJS.ProcessEnv },
): RunningFiles {
  const [first = ''] = files;
  const logFolder = join(folder, first.replaceAll('/', '.'));
  const [logPath, eventsPath] = [join(logFolder, 'test.log'), join(logFolder, 'events')];
  mkdirSync(logFolder, { recursive: true });
  const log = openSync(logPath, 'w');
  const flags = [
    `--test-timeout=${timeoutMs}`,
    ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
    ...[`--test-reporter=${REPORTER}`, '--test-reporter-destination=stdout'],
    // A file that runs alone needs no runner of Node's in its process.
    ...(files.length > 1 ? ['--test', '--test-isolation=none'] : []),
  ];
  const startedMs = performance.now();
  const child = spawn(process.execPath, [...flags, ...files], {
    detached: true,
    stdio: ['ignore', log, log],
    // Not the context of a surrounding test process, in which Node would ignore the reporters.
    env: { ...env, NODE_TEST_CONTEXT: undefined, TEST_EVENTS_FILE: eventsPath, TEST_LOG_FOLDER: logFolder },
  });
  closeSync(log);
  let hung = false;
  const kill = () => killGroup(child.pid);
  const timer = setTimeout(() => {
    hung = true;
    kill();
  }, timeoutMs);

  async function finish(): Promise<FileResult[]> {
    const [code, signal]: (number | string | null)[] = await once(child, 'exit');
    clearTimeout(timer);
    kill();
    const events = readEvents(eventsPath);
    rmSync(eventsPath, { force: true });
    const seconds = (performance.now() - startedMs) / 1000 / files.length;
    const cpuSeconds = events.reduce((sum, event) => sum + ('cpuSeconds' in event ? event.cpuSeconds : 0), 0) / files.length;
    const outcomes = events.filter((event) => 'outcome' in event);
    const isFailed = outcomes.some(({ outcome }) => outcome === 'failed');
    return files.map((file): FileResult => {
      // Together with others, a file without tests counts as a test of its own that passed.
      const isEmpty = ({ name, outcome }: TestOutcome) => outcome === 'passed' && resolve(name) === resolve(file);
      const own = files.length === 1 ? outcomes : outcomes.filter((event) => event.file === resolve(file) && !isEmpty(event));
      const count = (outcome: TestOutcome['outcome']) => own.filter((event) => event.outcome === outcome).length;
      const tests = own.map(({ name, outcome }) => ({ name, isPassed: outcome === 'passed' }));
      let fault: string | null = null;
      if (hung) fault = `still ran after ${timeoutMs / 1000} s and was killed`;
      else if (own.length === 0) fault = `ran no test and ended with ${signal ?? code}`;
      else if (code !== 0 && !isFailed) fault = `no test failed, but the process ended with ${signal ?? code}`;
      return {
        ...{ file, tests, seconds, cpuSeconds, fault, logFolder },
        ...{ passed: count('passed'), failed: count('failed'), skipped: count('skipped') },
      };
    });
  }

  return { result: finish(), kill };
}

function readEvents(path: string): RunEvent[] {
  try {
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
    return lines.map((line): RunEvent => JSON.parse(line));
  } catch {
    return [];
  }
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // Nothing of the group is left.
  }
}

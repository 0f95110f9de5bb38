import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunEvent } from './report-events.ts';

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

/** A test file that runs. */
export interface RunningFile {
  readonly result: Promise<FileResult>;
  /** Kills the file with every process that it started. */
  kill(): void;
}

/**
 * Runs one test file in a process group of its own, with its output in `test.log` of a folder of its own below `folder`. When the file ends, or after
 * `timeoutMs`, every process that is left in the group is killed.
 */
export function runFile(
  file: string,
  { folder, timeoutMs, env }: { folder: string; timeoutMs: number; env: NodeJS.ProcessEnv },
): RunningFile {
  const logFolder = join(folder, file.replaceAll('/', '.'));
  const [logPath, eventsPath] = [join(logFolder, 'test.log'), join(logFolder, 'events')];
  mkdirSync(logFolder, { recursive: true });
  const log = openSync(logPath, 'w');
  const flags = [
    `--test-timeout=${timeoutMs}`,
    ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
    ...[`--test-reporter=${REPORTER}`, '--test-reporter-destination=stdout'],
  ];
  const startedMs = performance.now();
  const child = spawn(process.execPath, [...flags, file], {
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

  async function finish(): Promise<FileResult> {
    const [code, signal]: (number | string | null)[] = await once(child, 'exit');
    clearTimeout(timer);
    kill();
    const events = readEvents(eventsPath);
    rmSync(eventsPath, { force: true });
    const count = (outcome: string) => events.filter((event) => 'outcome' in event && event.outcome === outcome).length;
    const [passed, failed, skipped] = [count('passed'), count('failed'), count('skipped')];
    const tests = events.flatMap((event) => ('outcome' in event ? [{ name: event.name, isPassed: event.outcome === 'passed' }] : []));
    const cpuSeconds = events.reduce((sum, event) => sum + ('cpuSeconds' in event ? event.cpuSeconds : 0), 0);
    let fault: string | null = null;
    if (hung) fault = `still ran after ${timeoutMs / 1000} s and was killed`;
    else if (passed + failed + skipped === 0) fault = `ran no test and ended with ${signal ?? code}`;
    else if (code !== 0 && failed === 0) fault = `no test failed, but the process ended with ${signal ?? code}`;
    return { file, passed, failed, skipped, tests, seconds: (performance.now() - startedMs) / 1000, cpuSeconds, fault, logFolder };
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

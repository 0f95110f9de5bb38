import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { CRASH, testEnvironment, workingFolder } from '../helpers/environment.ts';
import { until } from '../helpers/until.ts';

/** A process of the house that can be killed, paused and started again, any number of times. */
export interface Part {
  readonly name: string;
  readonly isUp: boolean;
  /** Starts it unless it is up, without waiting until it is of use. */
  launch(): void;
  /** Starts it unless it is up, and waits until it is of use. */
  start(): Promise<void>;
  /** Ends it by a signal, paused or not, and answers its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  pause(): void;
  resume(): void;
  /** What a healthy process would not have done: ended by itself, or spoken of an uncaught error. */
  readonly complaints: readonly string[];
  /** Joins the environment at the next start. */
  env: Record<string, string>;
}

/** `logFile` gets everything that it writes; `ready` answers whether it is of use. */
export function createPart(given: {
  name: string;
  command: string;
  args: string[];
  env: Record<string, string>;
  logFile: string;
  ready: () => Promise<boolean>;
}): Part {
  const { name, command, args, ready } = given;
  const log = createWriteStream(given.logFile, { flags: 'a' });
  const complaints: string[] = [];
  let child: ChildProcess | null = null;
  let isWanted = false;

  function launch(): void {
    if (part.isUp) return;
    const started = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: workingFolder(), env: testEnvironment(part.env) });
    child = started;
    isWanted = true;
    for (const stream of [started.stdout, started.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        log.write(`${line}\n`);
        if (CRASH.test(line)) complaints.push(`${name}: ${line.slice(0, 500)}`);
      });
    }
    started.on('exit', (code, signal) => {
      if (isWanted && child === started) complaints.push(`${name} ended by itself: ${code ?? signal}`);
    });
  }

  const part: Part = {
    name,
    env: given.env,
    complaints,
    get isUp() {
      return child !== null && child.exitCode === null && child.signalCode === null;
    },
    launch,
    async start() {
      launch();
      await until(async () => await ready().catch(() => false), { what: `${name} to be ready`, seconds: 120 });
    },
    async stop(signal = 'SIGKILL') {
      isWanted = false;
      if (child === null || !part.isUp) return child?.exitCode ?? null;
      const exited = once(child, 'exit');
      child.kill(signal);
      if (signal !== 'SIGKILL') child.kill('SIGCONT');
      await exited;
      return child.exitCode;
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
  };
  return part;
}

import { type ChildProcess, spawn } from 'node:child_process';
import { appendFile, mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endInOrder } from './end-process.ts';
import { SOURCE_EXTENSION } from '../../domain/source-extension.ts';

/** A process to run beside ours. */
export interface ChildSpec {
  name: string;
  command: string;
  args: readonly string[];
  env?: Record<string, string>;
  /** What it gets to end by itself. */
  graceMs: number;
  /** Whether it does its work yet. */
  isReady: () => Promise<boolean>;
}

/** The processes of `nightshift local`. They outlive a Ctrl-C until it is their turn, and never outlive us. */
export interface Children {
  /** Starts a process and waits until it is ready; from then on it is started again whenever it ends. Throws with its last words. */
  start(spec: ChildSpec): Promise<void>;
  /** Ends all, the one started last first. */
  stop(): Promise<void>;
}

const READY_WITHIN_MS = 60_000;
const LOG_MAX_BYTES = 10_000_000;

/** Runs processes with their logs in a folder; `onRestart` hears of one that ended by itself. */
export function createChildren({
  logs,
  signal,
  onRestart,
}: {
  logs: string;
  signal: AbortSignal;
  onRestart: (sentence: string) => void;
}): Children {
  const running: { pid: number; graceMs: number; name: string }[] = [];
  let isStopping = false;
  // Detached, like all of them: a Ctrl-C goes to the whole group of the terminal, and they are to end in order.
  const watchdog = spawn(process.execPath, [fileURLToPath(new URL(`watchdog${SOURCE_EXTENSION}`, import.meta.url))], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.stdin.on('error', () => undefined);
  const tellWatchdog = () => watchdog.stdin.write(`${JSON.stringify(running)}\n`);

  async function launch({ name, command, args, env, graceMs }: ChildSpec, at: number): Promise<ChildProcess> {
    const log = await openLog(logs, name);
    const child = spawn(command, args, { stdio: ['ignore', log.fd, log.fd], detached: true, env: { ...process.env, ...env } });
    child.on('error', ({ message }) => void appendFile(join(logs, `${name}.log`), `${message}\n`).catch(() => undefined));
    await log.close();
    if (child.pid !== undefined) running.splice(at, 0, { pid: child.pid, graceMs, name });
    tellWatchdog();
    return child;
  }

  async function keepUp(spec: ChildSpec, child: ChildProcess): Promise<void> {
    for (let current = child; ;) {
      if (!hasEnded(current)) await new Promise((resolve) => current.once('exit', resolve));
      if (isStopping) return;
      const how = current.pid === undefined ? 'it could not be started' : (current.signalCode ?? `exit code ${current.exitCode}`);
      onRestart(`${spec.name} ended (${how}) and is started again: ${join(logs, `${spec.name}.log`)} may say why`);
      await delay(1000);
      if (isStopping) return;
      const at = running.findIndex(({ pid }) => pid === current.pid);
      if (at !== -1) running.splice(at, 1);
      current = await launch(spec, Math.max(0, at));
    }
  }

  return {
    async start(spec) {
      signal.throwIfAborted();
      const child = await launch(spec, 0);
      const deadline = performance.now() + READY_WITHIN_MS;
      while (!(await spec.isReady())) {
        signal.throwIfAborted();
        if (hasEnded(child) || performance.now() > deadline) {
          const path = join(logs, `${spec.name}.log`);
          throw new ChildFailed(
            `${spec.name} did not start. The end of ${path}:\n${(await readFile(path, 'utf8')).trim().split('\n').slice(-5).join('\n')}`,
          );
        }
        await delay(50);
      }
      void keepUp(spec, child);
    },
    async stop() {
      isStopping = true;
      await endInOrder(running);
      running.length = 0;
      tellWatchdog();
      watchdog.stdin.end();
    },
  };
}

/** A process of `nightshift local` did not get ready. */
export class ChildFailed extends Error {
  override readonly name = 'CommandError';
}

/** Or has never begun. */
function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

async function openLog(folder: string, name: string) {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${name}.log`);
  const found = await stat(path).catch(() => null);
  if (found !== null && found.size > LOG_MAX_BYTES) await rename(path, `${path}.1`);
  return await open(path, 'a');
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { testEnvironment } from '../helpers/environment.ts';

interface ServerProcess extends AsyncDisposable {
  /** Without a path. */
  readonly origin: string;
}

/** Starts a Python program of this folder and waits until it prints its address; throws with the end of its stderr if it ends before. */
export async function startServer(python: string, program: string, args: readonly number[]): Promise<ServerProcess> {
  const path = fileURLToPath(new URL(program, import.meta.url));
  const child = spawn(python, [path, ...args.map(String)], { stdio: ['pipe', 'pipe', 'pipe'], env: testEnvironment() });
  let complaints = '';
  child.stderr.on('data', (data: Buffer) => (complaints = `${complaints}${data.toString()}`.slice(-4_000)));
  const closed = once(child, 'close');
  const stop = async () => {
    child.kill('SIGKILL');
    await closed;
  };
  const lines = createInterface({ input: child.stdout });
  const printed = new AbortController();
  const address = await Promise.race([
    once(lines, 'line', { signal: printed.signal }).then(([line]) => String(line)),
    closed.then(() => null),
  ]).finally(() => printed.abort());
  if (address === null) throw new Error(`${program} ended with ${child.exitCode ?? child.signalCode}:\n${complaints}`);
  return { origin: address, [Symbol.asyncDispose]: stop };
}

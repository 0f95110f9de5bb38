import { spawn } from 'node:child_process';

/**
 * Runs a program to its end and answers what it wrote (stdout, then stderr). Throws one sentence with its last words when
 * it is missing or fails; its `cause` is then all that it wrote to stderr. The signal ends it with everything it started.
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  { signal, env = {}, onLine = () => {} }: { signal: AbortSignal; env?: Record<string, string>; onLine?: (line: string) => void },
): Promise<string> {
  signal.throwIfAborted();
  return await new Promise((resolve, reject) => {
    // A process group of its own, because compilers and installers start helpers that have to end with them.
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { ...process.env, ...env } });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-10_000);
      for (const line of chunk.toString().split('\n')) if (line.trim() !== '') onLine(line.trim());
    });
    const end = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
      } catch {
        // It has ended by itself.
      }
    };
    signal.addEventListener('abort', end, { once: true });
    child.once('error', (error) => {
      const missing = 'code' in error && error.code === 'ENOENT';
      reject(new Error(missing ? `${command} is not installed` : `${command} cannot be run: ${error.message}`));
    });
    child.once('close', (code) => {
      signal.removeEventListener('abort', end);
      if (signal.aborted) return void reject(signal.reason);
      if (code === 0) return void resolve(stdout + stderr);
      const lastWords = (stderr.trim() === '' ? stdout : stderr).trim().split('\n').at(-1) ?? '';
      reject(new Error(`${command} ${args.slice(0, 3).join(' ')} failed: ${lastWords.slice(0, 300)}`, { cause: stderr }));
    });
  });
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { bareEnvironment } from '../helpers/environment.ts';

const pathOf = (name: string) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));

/** The examples for users by language: the program that runs each, and its path. */
export const EXAMPLES = {
  python: (python: string): [string, string] => [python, pathOf('python/run_batch.py')],
  node: (): [string, string] => [process.execPath, pathOf('node/run-batch.mjs')],
  curl: (): [string, string] => ['bash', pathOf('curl/run-batch.sh')],
};

/** Runs an example on an input file, as a user does who has set address and key. */
export async function runExample(
  [program, path]: [string, string],
  { input, baseURL, apiKey }: { input: string; baseURL: string; apiKey: string },
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const env = bareEnvironment({ NIGHTSHIFT_BASE_URL: baseURL, NIGHTSHIFT_API_KEY: apiKey });
  const child = spawn(program, [path, input], { stdio: ['ignore', 'pipe', 'pipe'], env });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr };
}

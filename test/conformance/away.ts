import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { testEnvironment, workingFolder } from '../helpers/environment.ts';
import { freePort } from '../helpers/servers.ts';
import type { Stack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** An API on the stack's bucket that cannot reach Temporal, as if it died between storing a batch and starting its workflow. */
export interface LonelyApi extends AsyncDisposable {
  client: OpenAI;
}

/** Starts one; disposing kills it. */
export async function startLonelyApi({ env }: Stack): Promise<LonelyApi> {
  const [port, nobody] = [await freePort(), await freePort()];
  const child = spawn(process.execPath, [MAIN, 'api'], {
    stdio: 'ignore',
    cwd: workingFolder(),
    env: testEnvironment({ ...env, NIGHTSHIFT_API_PORT: String(port), NIGHTSHIFT_TEMPORAL_ADDRESS: `127.0.0.1:${nobody}` }),
  });
  const origin = `http://127.0.0.1:${port}`;
  const isUp = async () =>
    await fetch(`${origin}/health`).then(
      (answer) => answer.ok,
      () => false,
    );
  await until(isUp, { what: 'the lonely API', seconds: 60 });
  return {
    client: new OpenAI({ baseURL: `${origin}/v1`, apiKey: 'key-a' }),
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

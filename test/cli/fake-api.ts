import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { bareEnvironment } from '../helpers/environment.ts';
import { zeroUsage, type Batch } from '../../src/domain/batch.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** A small real HTTP server that answers as the API does; `handle` decides what. It describes itself only if it is told to. */
export async function startFakeApi(
  handle: (method: string, path: string, body: Buffer, headers: IncomingMessage['headers']) => Answer,
  description: object | (() => Answer) | null = null,
): Promise<FakeApi> {
  const calls: string[] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const path = request.url ?? '';
      const describe = () => (description === null ? { status: 404, body: {} } : { body: description });
      const described = typeof description === 'function' ? description : describe;
      if (path !== '/openapi.json') calls.push(`${request.method} ${path}`);
      const answer: Answer =
        path === '/openapi.json' ? described() : handle(request.method ?? '', path, Buffer.concat(chunks), request.headers);
      if (answer === 'hang up') return void request.socket.destroy();
      const content = Buffer.from(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body));
      const { status = 200, headers = {}, breaksAfter } = answer;
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': content.length, ...headers });
      if (breaksAfter === undefined) return void response.end(content);
      response.write(content.subarray(0, breaksAfter), () => setTimeout(() => request.socket.destroy(), 50));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    calls,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export type Answer =
  | {
      status?: number;
      body: unknown;
      headers?: Record<string, string>;
      /** The connection ends after this many bytes of the body. */
      breaksAfter?: number;
    }
  | 'hang up';
export interface FakeApi extends AsyncDisposable {
  readonly baseUrl: string;
  readonly calls: string[];
}

/** A batch as the API shows it. */
export function aBatch(given: Partial<Batch> = {}): Batch {
  return {
    id: 'batch_1',
    object: 'batch',
    endpoint: '/v1/chat/completions',
    model: 'm',
    errors: null,
    input_file_id: 'file-in',
    completion_window: '24h',
    status: 'in_progress',
    output_file_id: null,
    error_file_id: null,
    created_at: 1_700_000_000,
    in_progress_at: 1_700_000_001,
    expires_at: 1_700_086_400,
    finalizing_at: null,
    completed_at: null,
    failed_at: null,
    expired_at: null,
    cancelling_at: null,
    cancelled_at: null,
    request_counts: { total: 4, completed: 1, failed: 0 },
    usage: zeroUsage(),
    metadata: null,
    ...given,
  };
}

/** How a command ended. `stderr` is without the first line that names the API. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command line as a user does, without a terminal. `onStart` gets the process; `input` is its standard input. */
export async function nightshift(
  baseUrl: string | null,
  args: string[],
  cwd: string,
  env: Record<string, string> = {},
  {
    input,
    keepsInputOpen = false,
    onStart = () => {},
  }: { input?: string | Buffer; keepsInputOpen?: boolean; onStart?: (child: ChildProcess) => void } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd,
    stdio: [input === undefined && !keepsInputOpen ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    env: bareEnvironment({ ...(baseUrl === null ? {} : { NIGHTSHIFT_BASE_URL: baseUrl }), ...env }),
  });
  child.stdin?.on('error', () => {});
  if (!keepsInputOpen) child.stdin?.end(input);
  onStart(child);
  return await endOf(child);
}

/** Runs a line of bash in which `nightshift` is the command line. */
export async function runInShell(baseUrl: string | null, line: string, cwd: string, env: Record<string, string> = {}): Promise<Ended> {
  const script = `nightshift() { '${process.execPath}' '${MAIN}' "$@"; }\n${line}`;
  const child = spawn('bash', ['-c', script], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: bareEnvironment({ ...(baseUrl === null ? {} : { NIGHTSHIFT_BASE_URL: baseUrl }), ...env }),
  });
  return await endOf(child);
}

async function endOf(child: ChildProcess): Promise<Ended> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr: stderr.replace(/^API: .*\n/, '') };
}

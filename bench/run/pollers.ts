import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Clients that read the status of running batches, each of one batch, at this interval. */
export interface PollOptions {
  origin: string;
  apiKey: string;
  batchIds: readonly string[];
  clients: number;
  everyMs: number;
}

export interface ReadTimes {
  reads: number;
  /** Answers other than 200. */
  errors: number;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

/** Starts reading in a process of its own; `stop` ends it and answers how long the reads took. */
export function startPollers(options: PollOptions): AsyncDisposable & { stop(): Promise<ReadTimes> } {
  const child = fork(fileURLToPath(new URL('poll-process.ts', import.meta.url)), [JSON.stringify(options)]);
  return {
    async stop() {
      const answer = once(child, 'message');
      child.send('stop');
      const [times] = await answer;
      return times;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

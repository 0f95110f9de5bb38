import { setTimeout as delay } from 'node:timers/promises';
import { type AskSecrets, askServer } from '../client/ask-server.ts';

/** Requests that a server is working on, and those that wait in its queue, whoever sent them. */
export interface ServerQueue {
  running: number;
  waiting: number;
}

/** What an answer to `GET /metrics` tells: a queue, nothing now, or that there is nothing to be told by this server. */
export type MetricsAnswer = ServerQueue | 'later' | 'never';

/** Gauges of running and waiting requests, by the prefix of all metrics of that server. */
const SERVERS = [
  { prefix: 'vllm:', running: 'vllm:num_requests_running', waiting: 'vllm:num_requests_waiting' },
  { prefix: 'sglang:', running: 'sglang:num_running_reqs', waiting: 'sglang:num_queue_reqs' },
  { prefix: 'tgi_', running: 'tgi_batch_current_size', waiting: 'tgi_queue_size' },
  { prefix: 'llamacpp:', running: 'llamacpp:requests_processing', waiting: 'llamacpp:requests_deferred' },
];

/** A name at the beginning of a line, labels whose quoted values may hold anything, and a number. */
const SAMPLE = /^([a-zA-Z_:][\w:]*)(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?[ \t]+([-+.\deE]+)/gm;
/** With priorities, SGLang tells each priority's part (`priority="5"`) beside the whole (`priority=""`). */
const PART_OF_SAMPLE = /[{,]priority="[^"]/;
const PATIENCE_MS = 2_000;
const INTERVAL_MS = 1_500;
/** Between two questions that a server did not answer. */
const RETRY_MS = 15_000;

/** Reads the queue in Prometheus text, summed over models and engines. */
export function readServerQueue(text: string): MetricsAnswer {
  const sums = new Map<string, number>();
  for (const [, name = '', labels = '', value = ''] of text.matchAll(SAMPLE)) {
    if (!PART_OF_SAMPLE.test(labels)) sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  for (const { running, waiting } of SERVERS) {
    const queue = { running: sums.get(running) ?? NaN, waiting: sums.get(waiting) ?? NaN };
    if (Number.isFinite(queue.running) && Number.isFinite(queue.waiting)) return queue;
  }
  // Some gauges are there only once a request was.
  return SERVERS.some(({ prefix }) => text.includes(prefix)) ? 'later' : 'never';
}

/** Asks a server for its queue; see `askServer`. */
export async function askServerQueue(baseUrl: string, secrets: AskSecrets, patienceMs = PATIENCE_MS): Promise<MetricsAnswer> {
  const answer = await askServer(baseUrl, '/metrics', secrets, patienceMs);
  if (!('status' in answer)) return 'later';
  const { status, text } = answer;
  if (status === 200) return readServerQueue(text);
  // A proxy answers for a server that is away, and a server that loads a model is not ready.
  return (status >= 500 && status !== 501) || status === 408 || status === 429 ? 'later' : 'never';
}

/**
 * Asks once at the start, and again and again while requests run, until the signal ends or the answer is that this server tells
 * nothing. Resolves then; never rejects.
 */
export async function followServerQueue({
  ask,
  tell,
  isBusy,
  signal,
  pause = pauseFor,
}: {
  ask: () => Promise<MetricsAnswer>;
  tell: (queue: ServerQueue) => void;
  isBusy: () => boolean;
  signal: AbortSignal;
  /** Resolves after so many milliseconds, or when the signal ends. */
  pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}): Promise<void> {
  let isFirst = true;
  while (!signal.aborted) {
    let pauseMs = INTERVAL_MS;
    if (isFirst || isBusy()) {
      const answer = await ask();
      if (answer === 'never') return;
      if (answer === 'later') pauseMs = isFirst ? INTERVAL_MS : RETRY_MS;
      else tell(answer);
      isFirst = false;
    }
    await pause(pauseMs, signal);
  }
}

async function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
}

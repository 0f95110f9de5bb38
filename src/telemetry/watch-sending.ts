import type { Attempt, UpstreamClient } from '../upstream/client.ts';
import type { sendUntilDone, SendState } from '../upstream/send-request.ts';
import type { AttemptResult, Metrics, WaitReason } from './metrics.ts';
import type { Tracing } from './tracing.ts';

type Send = typeof sendUntilDone;

interface Watch {
  metrics: Pick<Metrics, 'attemptEnded' | 'waited'>;
  tracing: Tracing;
  monotonicMs: () => number;
  logger: { debug(fields: object, message: string): void };
}

const REASONS: Record<Exclude<SendState['state'], 'sent'>, WaitReason> = {
  waiting: 'place',
  unavailable: 'gate',
  refused: 'refusal',
};

/** The same sending, with attempts and waits measured, a span per attempt where tracing is on, and faults in the debug log. */
export function watchSending(send: Send, { metrics, tracing, monotonicMs, logger }: Watch): Send {
  return async function watched(options) {
    const { upstream, batchId, requestKey } = options;
    const { name } = upstream;
    let attempts = options.faults + (options.refusals ?? 0);
    let wait: { reason: WaitReason; sinceMs: number } | null = null;

    const endWait = () => {
      if (wait !== null) metrics.waited(name, wait.reason, (monotonicMs() - wait.sinceMs) / 1000);
      wait = null;
    };

    const client: UpstreamClient = {
      close: () => upstream.client.close(),
      async send(request, signal) {
        attempts += 1;
        const attempt = tracing.isOn
          ? await tracing.attempt({ upstream: name, batchId, line: lineOf(requestKey), attempt: attempts }, (traceHeaders) =>
              upstream.client.send({ ...request, traceHeaders }, signal),
            )
          : await upstream.client.send(request, signal);
        metrics.attemptEnded({ upstream: name, result: resultOf(attempt), seconds: secondsOf(attempt), tokens: tokensOf(attempt) });
        if (attempt.kind === 'fault' || attempt.kind === 'refusal' || attempt.kind === 'unavailable') {
          logger.debug(
            { upstream: name, batch: batchId, line: lineOf(requestKey), attempt: attempts, ...causeOf(attempt) },
            'attempt failed',
          );
        }
        return attempt;
      },
    };

    const result = await send({
      ...options,
      upstream: { ...upstream, client },
      onState(state) {
        endWait();
        if (state.state !== 'sent') wait = { reason: REASONS[state.state], sinceMs: monotonicMs() };
        return options.onState(state);
      },
    });
    endWait();
    return result;
  };
}

/** The line in `<batch>/<line>`, as activities tell requests apart. */
function lineOf(requestKey: string): number {
  return Number(requestKey.slice(requestKey.lastIndexOf('/') + 1));
}

function resultOf(attempt: Attempt): AttemptResult {
  switch (attempt.kind) {
    case 'answer':
      return attempt.status < 300 ? 'answered' : 'rejected';
    case 'refusal':
      return 'refused';
    case 'fault':
      return attempt.code;
    case 'unavailable':
    case 'aborted':
      return attempt.kind;
  }
}

function secondsOf(attempt: Attempt): number | null {
  return attempt.kind === 'answer' ? attempt.ms / 1000 : null;
}

function tokensOf(attempt: Attempt): { input: number; output: number } | null {
  if (attempt.kind !== 'answer' || attempt.usage === null) return null;
  return { input: attempt.usage.input_tokens, output: attempt.usage.output_tokens };
}

/** Class and status; the words of the upstream stay out of the log. */
function causeOf(attempt: Attempt): { result: AttemptResult; status: number | null } {
  const result = resultOf(attempt);
  if (attempt.kind === 'refusal') return { result, status: attempt.status };
  return { result, status: attempt.kind === 'fault' ? (attempt.answer?.status ?? null) : null };
}

import { inspectAnswer } from '../../src/domain/answer.ts';
import { errorOf } from '../../src/domain/answer-error.ts';
import type { Outcome } from '../../src/domain/attempt.ts';
import { toFailure } from '../../src/domain/failures.ts';
import { newResultLineId } from '../../src/domain/ids.ts';
import { answeredLine, erroredLine, wrapNonJson } from '../../src/domain/result-line.ts';
import type { LineEffort, LineResult } from '../../src/domain/piece.ts';

/** A line and what its request ended in. */
interface EndedLine extends LineEffort {
  line: number;
  customId: string;
  randomHex: (digits: number) => string;
}

/** More than a failure shows of a message. */
const MESSAGE_BYTES = 1_000;

/** The result of a request that ended as `outcome`: completed if its answer is a success, else failed. */
export function toLineResult(outcome: Outcome, { line, customId, randomHex, attempts, milliseconds }: EndedLine): LineResult {
  const id = newResultLineId(randomHex(32));
  if (outcome.kind === 'errored') {
    const { code, message } = outcome;
    const failure = toFailure({ status: null, code, message });
    const resultLine = erroredLine({ id, customId, code, message });
    return { line, outcome: 'failed', usage: null, failure, attempts, milliseconds, resultLine };
  }
  const { isSuccess, answer, usage } = outcome;
  const { status } = answer;
  const requestId = answer.requestId ?? randomHex(32);
  if (isSuccess) {
    const resultLine = answeredLine({ id, customId, status, requestId, body: answer.body });
    return { line, outcome: 'completed', usage, attempts, milliseconds, resultLine };
  }
  const { isObject, value } = inspectAnswer(answer.body);
  const body = isObject ? answer.body : wrapNonJson(answer.body.toString());
  const error = errorOf(value);
  const words = error.message ?? (isObject ? 'The answer has no message.' : answer.body.toString('utf8', 0, MESSAGE_BYTES));
  const failure = toFailure({ status, code: error.code ?? 'upstream_error', message: words });
  const resultLine = answeredLine({ id, customId, status, requestId, body });
  return { line, outcome: 'failed', usage: null, failure, attempts, milliseconds, resultLine };
}

/** The result of a request whose worker died with it again and again. */
export function crashedLineResult({ line, customId, randomHex, attempts, milliseconds }: EndedLine): LineResult {
  const message = 'This request was not answered: each time it was sent, the worker that sent it died.';
  const code = 'request_crashed_worker';
  const resultLine = erroredLine({ id: newResultLineId(randomHex(32)), customId, code, message });
  const failure = toFailure({ status: null, code, message });
  return { line, outcome: 'failed', usage: null, failure, attempts, milliseconds, resultLine };
}

import { isJsonObject } from '../../src/domain/answer.ts';
import type { Outcome } from '../../src/domain/attempt.ts';
import { newResultLineId } from '../../src/domain/ids.ts';
import { answeredLine, erroredLine, wrapNonJson } from '../../src/domain/result-line.ts';
import type { LineEffort, LineResult } from '../../src/domain/piece.ts';

/** A line and what its request ended in. */
interface EndedLine extends LineEffort {
  line: number;
  customId: string;
  randomHex: (digits: number) => string;
}

/** The result of a request that ended as `outcome`: completed if its answer is a success, else failed. */
export function toLineResult(outcome: Outcome, { line, customId, randomHex, attempts, milliseconds }: EndedLine): LineResult {
  const id = newResultLineId(randomHex(32));
  if (outcome.kind === 'errored') {
    const { code, message } = outcome;
    return { line, outcome: 'failed', usage: null, attempts, milliseconds, resultLine: erroredLine({ id, customId, code, message }) };
  }
  const { isSuccess, answer, usage } = outcome;
  const { status, requestId } = answer;
  const body = isSuccess || isJsonObject(answer.body) ? answer.body : wrapNonJson(answer.body.toString());
  const resultLine = answeredLine({ id, customId, status, requestId: requestId ?? randomHex(32), body });
  return { line, outcome: isSuccess ? 'completed' : 'failed', usage: isSuccess ? usage : null, attempts, milliseconds, resultLine };
}

/** The result of a request whose worker died with it again and again. */
export function crashedLineResult({ line, customId, randomHex, attempts, milliseconds }: EndedLine): LineResult {
  const message = 'This request was not answered: each time it was sent, the worker that sent it died.';
  const resultLine = erroredLine({ id: newResultLineId(randomHex(32)), customId, code: 'request_crashed_worker', message });
  return { line, outcome: 'failed', usage: null, attempts, milliseconds, resultLine };
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkBatch } from './check-batch.ts';
import { ownFaults } from './check-calls.ts';
import { type Facts, facts, ID, shardsOf } from './facts.ts';
import { NOTHING_PLANTED } from './make-input.ts';
import type { Results } from './read-results.ts';

/** What `checkBatch` says of these facts once they are doctored. */
function complaintsOf(doctor: (fact: Facts) => void, results: (file: Results) => Results = (same) => same): string[] {
  const fact = facts();
  doctor(fact);
  const file = (rows: string[]) => {
    const bytes = Buffer.from(rows.join(''));
    return { recordBytes: bytes.length, bytes };
  };
  const callsOf = new Map(fact.calls.map((calls, index) => [`${ID}-${index + 1}`, calls]));
  const { batch, input, shards } = fact;
  const causes = { plantedOf: () => NOTHING_PLANTED, upstreamDeathsMs: [] };
  const ownFaultsOf = (key: string) => ownFaults(callsOf.get(key) ?? [], key, causes);
  const files = results({ output: file(fact.output), error: file(fact.errors) });
  return checkBatch({ batch, input, shards, callsOf, ownFaultsOf, results: files }).complaints;
}

function assertTold(complaints: readonly string[], what: RegExp): void {
  assert.ok(
    complaints.some((complaint) => what.test(complaint)),
    `${what} is not in ${JSON.stringify(complaints)}`,
  );
}

/** What is done to the facts, and what must be said of it. */
const DOCTORED: readonly (readonly [what: string, doctor: (fact: Facts) => void, told: RegExp])[] = [
  ['a line that is there twice', ({ output }) => void output.push(output[2] ?? ''), /1 custom_ids are there twice/],
  ['a line in both files', ({ output, errors }) => void errors.push(output[2] ?? ''), /1 custom_ids are there twice/],
  ['a lost line', ({ output }) => void output.pop(), /1 lines of 4 are lost/],
  ['an unknown line', ({ output }) => void output.push((output[2] ?? '').replace('"d"', '"z"')), /unknown, twice or out of order/],
  ['lines out of order', ({ output }) => void output.reverse(), /unknown, twice or out of order/],
  [
    'two lines of one id',
    (fact) => (fact.output = fact.output.map((row) => row.replace('line_1', 'line_0'))),
    /ids of lines are there twice/,
  ],
  ['counts that are off by one', ({ batch }) => (batch.request_counts = { total: 4, completed: 4, failed: 0 }), /counts .* lines/],
  ['a total that is off by one', ({ batch }) => (batch.request_counts = { total: 5, completed: 3, failed: 1 }), /counts .* lines/],
  ['usage that is off in its total', ({ batch }) => batch.usage && (batch.usage.total_tokens = 16), /usage .*"total_tokens":16,/],
  ['usage that is off in its input', ({ batch }) => batch.usage && (batch.usage.input_tokens = 0), /usage .* sum of the lines/],
  ['usage that is off in its output', ({ batch }) => batch.usage && (batch.usage.output_tokens = 0), /usage .* sum of the lines/],
  [
    'usage that is off in what was cached',
    ({ batch }) => batch.usage && (batch.usage.input_tokens_details = { cached_tokens: 0 }),
    /usage .* sum of the lines/,
  ],
  [
    'usage that is off in what was reasoned',
    ({ batch }) => batch.usage && (batch.usage.output_tokens_details = { reasoning_tokens: 2 }),
    /usage .* sum of the lines/,
  ],
  ['usage that is not told', ({ batch }) => delete batch.usage, /usage undefined, sum of the lines/],
  [
    'changed bytes of an answer',
    (fact) => (fact.output[1] = (fact.output[1] ?? '').replace('{ "', '{"')),
    /b has bytes or a status that nobody answered/,
  ],
  [
    'changed bytes of an answer in the error file',
    (fact) => (fact.errors[0] = (fact.errors[0] ?? '').replace('{ "', '{"')),
    /c has bytes or a status that nobody answered/,
  ],
  [
    'an answer that only a fault had',
    ({ calls }) => calls[2]?.[0] && (calls[2][0].end = 'fault'),
    /c has bytes or a status that nobody answered/,
  ],
  [
    'a fault that ended its line at the fourth try',
    ({ calls }) =>
      calls.splice(
        2,
        1,
        Array.from({ length: 4 }, () => ({ ...(calls[2]?.[0] ?? assert.fail()), end: 'fault' })),
      ),
    /c has bytes or a status that nobody answered/,
  ],
  [
    'another status than was answered',
    (fact) => (fact.errors[0] = (fact.errors[0] ?? '').replace('400', '404')),
    /c has bytes or a status that nobody answered/,
  ],
  [
    'a refused line in the output file',
    (fact) => (fact.output[1] = (fact.output[1] ?? '').replace('200', '400')),
    /b was answered 400 and stands in the other file/,
  ],
  [
    'an answered line in the error file',
    (fact) => (fact.errors[0] = (fact.errors[0] ?? '').replace('400', '200')),
    /c was answered 200 and stands in the other file/,
  ],
  [
    'another request than was uploaded',
    ({ calls }) => calls[1]?.[0] && (calls[1][0].requestHash = 'x'),
    /line 2 was sent with other bytes/,
  ],
  ['no last line break', (fact) => (fact.output[2] = (fact.output[2] ?? '').trimEnd()), /has no line break/],
  [
    'a line that never ran in a completed batch',
    (fact) =>
      (fact.errors[0] = (fact.errors[0] ?? '').replace(/"response":.*,"error":null/, '"response":null,"error":{"code":"batch_expired"}')),
    /1 lines never ran, as batch_expired/,
  ],
  [
    'a line of an expired batch that is said to be cancelled',
    (fact) => {
      fact.batch.status = 'expired';
      fact.errors[0] = (fact.errors[0] ?? '').replace(/"response":.*,"error":null/, '"response":null,"error":{"code":"batch_cancelled"}');
    },
    /1 lines never ran, as batch_cancelled/,
  ],
  [
    'a line of a cancelled batch that is said to have expired before its window ended',
    (fact) => {
      Object.assign(fact.batch, { status: 'cancelled', cancelled_at: 14 });
      fact.errors[0] = (fact.errors[0] ?? '').replace(/"response":.*,"error":null/, '"response":null,"error":{"code":"batch_expired"}');
    },
    /1 lines never ran, as batch_expired/,
  ],
  [
    'a line that was given up before it was tried five times',
    (fact) =>
      (fact.errors[0] = (fact.errors[0] ?? '').replace(
        /"response":.*,"error":null/,
        '"response":null,"error":{"code":"connection_error"}',
      )),
    /c was given up after 0 faults of its own: connection_error/,
  ],
  [
    'a line that was given up after five calls that harms broke off',
    (fact) => {
      const call = fact.calls[2]?.[0] ?? assert.fail();
      fact.calls[2] = Array.from({ length: 5 }, () => ({ ...call, end: 'broken' as const, status: null, answerHash: null }));
      fact.errors[0] = (fact.errors[0] ?? '').replace(/"response":.*,"error":null/, '"response":null,"error":{"code":"connection_error"}');
    },
    /c was given up after 0 faults of its own: connection_error/,
  ],
  [
    'a line that is said to have crashed its worker',
    (fact) =>
      (fact.errors[0] = (fact.errors[0] ?? '').replace(
        /"response":.*,"error":null/,
        '"response":null,"error":{"code":"request_crashed_worker"}',
      )),
    /said to have crashed their worker: c; did: none/,
  ],
  ['poison that was answered', ({ input }) => (input.poison = 'c'), /said to have crashed their worker: none; did: c/],
  ['times out of order', ({ batch }) => (batch.in_progress_at = 9), /times out of order/],
  ['two ends', ({ batch }) => (batch.cancelled_at = 14), /2 times of an end/],
  ['an end of another status', (fact) => (fact.batch.status = 'cancelled'), /the time of its end is another one/],
  ['files of a batch that never started', ({ batch }) => delete batch.in_progress_at, /has files, and never started/],
  ['shard results with another output', (fact) => (fact.shards = { ...shardsOf(fact), outputHash: 'x' }), /the output file is not what/],
  ['shard results with other errors', (fact) => (fact.shards = { ...shardsOf(fact), errorHash: 'x' }), /the error file is not what/],
  ['shard results with less completed', (fact) => (fact.shards = { ...shardsOf(fact), completed: 2 }), /other counts: 2 completed/],
  ['shard results with more failed', (fact) => (fact.shards = { ...shardsOf(fact), failed: 2 }), /other counts: .* 2 failed/],
  ['shard results with a line that did not run', (fact) => (fact.shards = { ...shardsOf(fact), notRun: 1 }), /other counts: .* 1 not run/],
  [
    'shard results with another usage',
    (fact) => (fact.shards = { ...shardsOf(fact), usage: { ...shardsOf(fact).usage, output_tokens: 7 } }),
    /the shard results have another usage/,
  ],
];

describe('the checks of a batch', () => {
  it('find nothing wrong with a batch that is whole', () => {
    assert.deepEqual(
      complaintsOf(() => undefined),
      [],
    );
    assert.deepEqual(
      complaintsOf((fact) => (fact.shards = shardsOf(fact))),
      [],
    );
  });

  it('let a line end with what its fifth fault was answered', () => {
    const fault = (calls: Facts['calls']) => ({ ...(calls[2]?.[0] ?? assert.fail()), end: 'fault' as const });
    assert.deepEqual(
      complaintsOf(({ calls }) =>
        calls.splice(
          2,
          1,
          Array.from({ length: 5 }, () => fault(calls)),
        ),
      ),
      [],
    );
  });

  for (const [what, doctor, told] of DOCTORED) {
    it(`tell of ${what}`, () => {
      assertTold(complaintsOf(doctor), told);
    });
  }

  it('tell of a file that cannot be read, or has another size than its record', () => {
    assertTold(
      complaintsOf(
        () => undefined,
        (results) => ({ ...results, output: 'unreadable' }),
      ),
      /output file cannot be read/,
    );
    assertTold(
      complaintsOf(
        () => undefined,
        ({ output, error }) => ({ output, error: error === null || error === 'unreadable' ? error : { ...error, recordBytes: 1 } }),
      ),
      /error file has another size/,
    );
  });
});

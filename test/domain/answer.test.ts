import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspectAnswer, isJsonObject, readUsage } from '../../src/domain/answer.ts';

/** A usage in short: input, cached, output, reasoning, total. */
function short(usage: unknown): number[] | null {
  const read = readUsage({ usage });
  if (read === null) return null;
  const { input_tokens_details, output_tokens_details } = read;
  return [
    read.input_tokens,
    input_tokens_details.cached_tokens,
    read.output_tokens,
    output_tokens_details.reasoning_tokens,
    read.total_tokens,
  ];
}

describe('isJsonObject(body)', () => {
  it('accepts an object with whitespace or a byte order mark around it', () => {
    for (const body of ['{}', ' \n{"a":1}\r\n', '\uFEFF{}', '\uFEFF\n{}']) assert.equal(isJsonObject(Buffer.from(body)), true);
  });

  it('refuses everything that could not stand in a result line', () => {
    for (const body of ['', ' ', '[]', 'null', '"{}"', '1', '{', '{}{}', '<html>', '\uFEFF\uFEFF{}', ' \uFEFF{}', 'data: {}']) {
      assert.equal(isJsonObject(Buffer.from(body)), false, body);
    }
    assert.equal(isJsonObject(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), false);
    assert.equal(isJsonObject(Buffer.from('{"\ud800":1}', 'utf16le')), false);
  });
});

describe('inspectAnswer(body)', () => {
  it('answers shape and usage together', () => {
    assert.deepEqual(inspectAnswer(Buffer.from('{"usage":{"prompt_tokens":1,"total_tokens":1}}')), {
      isObject: true,
      value: { usage: { prompt_tokens: 1, total_tokens: 1 } },
      usage: {
        input_tokens: 1,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: 0,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 1,
      },
    });
    assert.deepEqual(inspectAnswer(Buffer.from('{}')), { isObject: true, value: {}, usage: null });
    assert.deepEqual(inspectAnswer(Buffer.from('[{"usage":{}}]')), { isObject: false, value: null, usage: null });
  });
});

describe('readUsage(answer)', () => {
  it('reads chat completions and completions', () => {
    const usage = {
      prompt_tokens: 10,
      completion_tokens: 20,
      total_tokens: 30,
      prompt_tokens_details: { cached_tokens: 4 },
      completion_tokens_details: { reasoning_tokens: 5 },
    };
    assert.deepEqual(short(usage), [10, 4, 20, 5, 30]);
    assert.deepEqual(short({ ...usage, prompt_tokens_details: null, completion_tokens_details: 'x' }), [10, 0, 20, 0, 30]);
  });

  it('reads responses', () => {
    const usage = {
      input_tokens: 1,
      input_tokens_details: { cached_tokens: 2 },
      output_tokens: 3,
      output_tokens_details: { reasoning_tokens: 4 },
      total_tokens: 4,
    };
    assert.deepEqual(short(usage), [1, 2, 3, 4, 4]);
  });

  it('reads embeddings, and adds up where there is no total', () => {
    assert.deepEqual(short({ prompt_tokens: 8, total_tokens: 8 }), [8, 0, 0, 0, 8]);
    assert.deepEqual(short({ prompt_tokens: 8, completion_tokens: 1 }), [8, 0, 1, 0, 9]);
  });

  it('takes 0 for what cannot be a count', () => {
    assert.deepEqual(short({ prompt_tokens: -1, completion_tokens: 1.5, total_tokens: 1e300 }), [0, 0, 0, 0, 0]);
    assert.deepEqual(short({ prompt_tokens: '7', completion_tokens: null, total_tokens: [] }), [0, 0, 0, 0, 0]);
  });

  it('answers null when there is none', () => {
    for (const usage of [null, undefined, 5, 'x', []]) assert.equal(short(usage), null);
    assert.equal(readUsage(null), null);
  });
});

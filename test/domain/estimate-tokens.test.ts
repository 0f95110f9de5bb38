import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inputTokensOf, measureRequest } from '../../src/domain/estimate-tokens.ts';

const lineOf = (body: string) => Buffer.from(`{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":${body}}`);
const measured = (body: object | string, endpoint = '/v1/chat/completions') =>
  measureRequest(lineOf(typeof body === 'string' ? body : JSON.stringify(body)), endpoint);

describe('measureRequest', () => {
  it('counts the text of a body as UTF-8, without escapes, names of members and the model', () => {
    assert.equal(measured({ model: 'a-long-name', messages: [{ role: 'user', content: 'hello "x"\n中😀' }] }).textBytes, 4 + 17);
    const escaped = String.raw`{"prompt":"\u4e2d\ud83d\ude00\u00e9\\\n\"a"}`;
    assert.equal(measured(escaped, '/v1/completions').textBytes, Buffer.byteLength(JSON.parse(escaped).prompt));
    assert.equal(measured({ input: [{ model: 'counts here' }] }, '/v1/responses').textBytes, 11);
  });

  it('counts numbers of token arrays, and no other numbers', () => {
    const { tokenNumbers, textBytes } = measured(
      { input: [[1, 22, 333], [4]], dimensions: 512, logit_bias: { 50256: -100 } },
      '/v1/embeddings',
    );
    assert.deepEqual([tokenNumbers, textBytes], [4, 0]);
    assert.equal(measured('{"prompt":[ -1.5e+3 , 2 ]}').tokenNumbers, 2);
  });

  it('leaves pictures, sound and files out, and says so', () => {
    const picture = `data:image/png;base64,${'A'.repeat(10_000)}`;
    const parts = [
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: picture } },
      { type: 'input_audio', input_audio: { data: 'QUFB', format: 'wav' } },
    ];
    const found = measured({ messages: [{ role: 'user', content: parts }] });
    assert.equal(found.hasMedia, true);
    assert.ok(found.textBytes < 60, String(found.textBytes));
    assert.equal(measured({ messages: [{ role: 'user', content: 'url' }] }).hasMedia, false);
  });

  it('takes the limit of the answer by each of its names, for each of several choices', () => {
    const most = (body: object, endpoint?: string) => measured(body, endpoint).maxOutputTokens;
    assert.deepEqual(
      [
        most({ max_tokens: 7 }),
        most({ max_completion_tokens: 8, max_tokens: 7 }),
        most({ max_output_tokens: 9 }),
        most({ max_tokens: 5, n: 3 }),
      ],
      [7, 8, 9, 15],
    );
    assert.deepEqual([most({}), most({ max_tokens: null }), most({ max_tokens: 'many' }), most({ n: 2 })], [null, null, null, null]);
    assert.equal(most({ input: 'x' }, '/v1/embeddings'), 0);
  });

  it('survives deep nesting', () => {
    const deep = 100_000;
    assert.equal(measured(`{"input":${'['.repeat(deep)}1${']'.repeat(deep)}}`).tokenNumbers, 0);
  });
});

describe('inputTokensOf', () => {
  it('takes four bytes for a token, rounded up', () => {
    assert.deepEqual(
      [0, 1, 4, 5].map((textBytes) => inputTokensOf({ textBytes, tokenNumbers: 10 })),
      [10, 11, 11, 12],
    );
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BatchError } from '../../src/domain/batch.ts';
import { createRequestLineChecker, readRequestLine } from '../../src/domain/request-line.ts';

const CHAT = '/v1/chat/completions';
type Line = Record<string, unknown>;
const chat = (changes: Line = {}): Line => ({
  custom_id: 'a',
  method: 'POST',
  url: CHAT,
  body: { model: 'm', messages: [] },
  ...changes,
});

/** A checker with a memory of its own. */
function checker(endpoint = CHAT) {
  const known = new Set<string>();
  const seen = (customId: string) => known.has(customId) || (known.add(customId), false);
  return createRequestLineChecker({ endpoint, limits: { maxLineBytes: 1000 }, seen });
}

/** The faults of one line given as text, bytes or value. */
function faults(line: string | Buffer | Line, endpoint?: string): BatchError[] {
  const bytes = Buffer.isBuffer(line) ? line : Buffer.from(typeof line === 'string' ? line : JSON.stringify(line));
  return checker(endpoint).check(bytes, 7).errors ?? [];
}
const codes = (errors: readonly BatchError[]) => errors.map(({ code, param, line }) => [code, param, line]);
const without = (name: string): Line => Object.fromEntries(Object.entries(chat()).filter(([key]) => key !== name));

describe('createRequestLineChecker()', () => {
  it('answers custom_id and model of a good line', () => {
    assert.deepEqual(checker().check(Buffer.from(JSON.stringify(chat())), 1), {
      errors: null,
      customId: 'a',
      model: 'm',
      embeddingInputs: 0,
    });
  });

  it('V3: refuses what is not JSON or not UTF-8', () => {
    const good = JSON.stringify(chat());
    const refused = (line: string | Buffer, why: string) =>
      assert.deepEqual(faults(line), [
        { code: 'invalid_json_line', message: `This line is not parseable as valid JSON. ${why}`, param: null, line: 7 },
      ]);
    refused('{invalid json here', "Column 2 has an unexpected 'invalid json here'.");
    refused(`${good}${good}`, `Column ${good.length + 1} has an unexpected '${good.slice(0, 20)}'.`);
    refused('{"é": "🌙", "n": NaN}', "Column 17 has an unexpected 'NaN}'.");
    refused("{'custom_id': 'a'}", "Column 2 has an unexpected ''custom_id': 'a'}'.");
    refused('{"custom_id":"a"', 'It ends before its JSON is complete. Each line must hold one whole JSON object.');
    refused(Buffer.from(good, 'utf16le'), 'The file is encoded in UTF-16. Save it as UTF-8.');
    refused(Buffer.from(`\uFEFF${good}`, 'utf16le'), 'The file is encoded in UTF-16. Save it as UTF-8.');
    const latin1 = Buffer.concat([Buffer.from('{"custom_id":"'), Buffer.from([0xff]), Buffer.from(good.slice(14))]);
    refused(latin1, 'Byte 15 of the line is not valid UTF-8. Save the file as UTF-8.');
    const late = Buffer.concat([Buffer.from(`{"a":"${'é'.repeat(70_000)}`), Buffer.from([0xe4, 0x20]), Buffer.from('"}')]);
    refused(late, 'Byte 140007 of the line is not valid UTF-8. Save the file as UTF-8.');
    refused('{"custom_id":"\u0001"}', "Column 15 has an unexpected ' \"}'.");
  });

  it('takes or refuses deep nesting, without a crash', () => {
    const deep = (levels: number) =>
      `{"custom_id":"a","method":"POST","url":"${CHAT}","body":{"model":"m","messages":${'['.repeat(levels)}${']'.repeat(levels)}}}`;
    assert.deepEqual(faults(deep(10_000)), []);
    assert.ok(codes(faults(deep(2_000_000))).every(([code]) => code === 'invalid_json_line'));
  });

  it('V4: refuses JSON that is no object', () => {
    for (const line of ['[1,2]', '"x"', 'null', '7', 'true']) assert.deepEqual(codes(faults(line)), [['invalid_request', null, 7]]);
    assert.equal(
      faults('[1,2]')[0]?.message,
      'This line must be a JSON object, but it is an array. A JSONL file has one object on each line, not one array of all.',
    );
  });

  it('V5: refuses a line that lacks a field, absent or null, with one error for each in order', () => {
    for (const name of ['custom_id', 'method', 'url', 'body']) {
      const fault = { code: 'missing_required_parameter', message: `Missing required parameter: '${name}'.`, param: name, line: 7 };
      assert.deepEqual(faults(without(name)), [fault]);
      assert.deepEqual(faults(chat({ [name]: null })), [fault]);
    }
    assert.deepEqual(
      faults({}).map(({ param }) => param),
      ['custom_id', 'method', 'url', 'body'],
    );
    assert.deepEqual(faults('{"__proto__":{"custom_id":"a"}}').length, 4);
  });

  it('V6: refuses a field of the wrong type', () => {
    assert.deepEqual(faults(chat({ custom_id: 5 })), [
      {
        code: 'invalid_type',
        message: "Invalid type for 'custom_id': expected a string, but got an integer instead.",
        param: 'custom_id',
        line: 7,
      },
    ]);
    assert.deepEqual(codes(faults(chat({ method: 7, url: 1.5 }))), [
      ['invalid_type', 'method', 7],
      ['invalid_type', 'url', 7],
    ]);
    for (const body of ['{}', [], 1, true]) assert.deepEqual(codes(faults(chat({ body }))), [['invalid_type', 'body', 7]]);
    assert.deepEqual(codes(faults(chat({ body: { model: 1, messages: [] } }))), [['invalid_type', 'body.model', 7]]);
  });

  it('V7: refuses a custom_id that is blank or over 512 code points', () => {
    for (const customId of ['', ' ', '\t\n', 'x'.repeat(513)]) {
      assert.deepEqual(codes(faults(chat({ custom_id: customId }))), [['invalid_request', 'custom_id', 7]]);
    }
    assert.deepEqual(faults(chat({ custom_id: '😀'.repeat(512) })), []);
  });

  it('V8: refuses a custom_id that an earlier line has, even a bad one', () => {
    const check = checker();
    const line = (changes?: Line) => Buffer.from(JSON.stringify(chat(changes)));
    assert.deepEqual(codes(check.check(line({ method: 'GET' }), 3).errors ?? []), [['invalid_method', 'method', 3]]);
    assert.deepEqual(check.check(line({ custom_id: 'A' }), 4).errors, null);
    assert.deepEqual(check.check(Buffer.from(JSON.stringify(chat()).replace('"a"', '"\\u0061"')), 7).errors, [
      {
        code: 'duplicate_custom_id',
        message:
          'The custom_id for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch.',
        param: 'custom_id',
        line: 7,
      },
    ]);
  });

  it('V9: refuses every method but POST', () => {
    for (const method of ['GET', 'post', '', ' POST']) assert.deepEqual(codes(faults(chat({ method }))), [['invalid_method', 'method', 7]]);
  });

  it('V10: refuses the url of another endpoint', () => {
    assert.deepEqual(faults(chat({ url: '/v1/embeddings' })), [
      {
        code: 'invalid_url',
        message:
          'The URL provided for this request does not match the batch endpoint. Line 7 has "/v1/embeddings", the batch "/v1/chat/completions".',
        param: 'url',
        line: 7,
      },
    ]);
  });

  it('V11, V12: requires the model and the member the endpoint works on', () => {
    assert.deepEqual(faults(chat({ body: {} })), [
      { code: 'invalid_request', message: 'Model parameter is required.', param: 'body.model', line: 7 },
      { code: 'invalid_request', message: 'Messages parameter is required.', param: 'body.messages', line: 7 },
    ]);
    const line = (url: string) => chat({ url, body: { model: 'm' } });
    assert.deepEqual(faults(line('/v1/completions'), '/v1/completions'), [
      { code: 'invalid_request', message: 'Prompt parameter is required.', param: 'body.prompt', line: 7 },
    ]);
    for (const url of ['/v1/embeddings', '/v1/responses', '/v1/moderations']) {
      assert.deepEqual(faults(line(url), url), [
        { code: 'invalid_request', message: 'Input parameter is required.', param: 'body.input', line: 7 },
      ]);
    }
    assert.deepEqual(faults(line('/v1/rerank'), '/v1/rerank'), []);
    assert.deepEqual(codes(faults(chat({ body: { model: null, messages: null } }))).length, 2);
  });

  it('V13: refuses streaming, and nothing but true is streaming', () => {
    const body = (stream: unknown) => chat({ body: { model: 'm', messages: [], stream } });
    assert.deepEqual(faults(body(true)), [
      {
        code: 'streaming_unsupported',
        message: 'Chat Completions: Streaming is not supported in the Batch API.',
        param: 'body.stream',
        line: 7,
      },
    ]);
    assert.deepEqual([...faults(body(false)), ...faults(body(null))], []);
    for (const [url, title] of [
      ['/v1/completions', 'Completions'],
      ['/v1/embeddings', 'Embeddings'],
      ['/v1/responses', 'Responses'],
      ['/v1/moderations', 'Moderations'],
      ['/v1/rerank', '/v1/rerank'],
    ] as const) {
      const [fault] = faults(chat({ url, body: { model: 'm', prompt: '', input: '', stream: true } }), url);
      assert.equal(fault?.message, `${title}: Streaming is not supported in the Batch API.`);
    }
  });

  it('refuses a line that was too long to be kept', () => {
    assert.deepEqual(codes(checker().check(null, 9).errors ?? []), [['line_too_large', null, 9]]);
  });

  it('counts the inputs of an embeddings request', () => {
    const inputs = (input: unknown): unknown => {
      const url = '/v1/embeddings';
      const checked = checker(url).check(Buffer.from(JSON.stringify(chat({ url, body: { model: 'm', input } }))), 1);
      return checked.errors === null ? checked.embeddingInputs : checked.errors;
    };
    assert.deepEqual([inputs('x'), inputs([1, 2, 3]), inputs(['x', 'y']), inputs([[1, 2], [3]]), inputs([])], [1, 1, 2, 2, 0]);
  });
});

describe('readRequestLine(bytes)', () => {
  it('keeps the exact bytes of the body', () => {
    const body = '{"seed":9223372036854775807,"x":1.0, "__proto__":{"a":1},"model":"ü","model":"m\\u0031","s":"\u2028\u0085😀\\n"}';
    const bytes = Buffer.from(`{"body":0,"custom_id":"old","custom_id":"n\\u00e4me \\ud800", "body" : ${body} ,"url":"/","method":"POST"}`);
    const read = readRequestLine(bytes);
    assert.equal(Buffer.from(read.body).toString(), body);
    assert.equal(read.body.buffer, bytes.buffer);
    assert.equal(read.customId, 'näme \ud800');
  });
});

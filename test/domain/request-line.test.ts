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
  const known = new Map<string, number>();
  const lineOf = (customId: string, line: number) => known.get(customId) ?? (known.set(customId, line), null);
  return createRequestLineChecker({ endpoint, limits: { maxLineBytes: 1000 }, lineOf });
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
    refused('{"custom_id":"\u0001"}', 'Column 15 has an unexpected U+0001 (write \\u0001 inside a string).');
    refused('{"custom_id":"a\tb"}', 'Column 16 has an unexpected U+0009, a tab (write \\u0009 inside a string).');
    refused('{\u00a0"custom_id":"a"}', 'Column 2 has an unexpected U+00A0, a no-break space.');
    refused('{"a":1,\u200b"b":2}', 'Column 8 has an unexpected U+200B.');
    refused('{"a":True}', "Column 6 has an unexpected 'True}'.");
    refused('{"a":1},', "Column 8 has an unexpected ','.");
    refused('[{"custom_id":"a"},', 'It begins with "[", but a JSON array is not JSONL. Each line must hold one whole JSON object.');
  });

  it('V3: names the format of compressed files', () => {
    for (const [name, ...begins] of [
      ['gzip', 0x1f, 0x8b, 8],
      ['zip', 0x50, 0x4b, 3, 4],
      ['zstd', 0x28, 0xb5, 0x2f, 0xfd],
    ] as const) {
      assert.equal(
        faults(Buffer.from([...begins, 0, 1, 2]))[0]?.message,
        `This line is not parseable as valid JSON. The file is compressed with ${name}. Decompress it before the upload.`,
      );
    }
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
    const advice = (line: Line) => faults(line).map(({ message }) => message.split("'. ")[1] ?? null);
    assert.deepEqual(advice({ ...without('custom_id'), customId: 'a' }), ['There is "customId": did you mean "custom_id"?']);
    assert.deepEqual(advice({ ...without('method'), Method: 'POST' }), ['There is "Method": did you mean "method"?']);
    assert.deepEqual(advice({ ...without('body'), BODY: {} }), ['There is "BODY": did you mean "body"?']);
    assert.deepEqual(advice({ ...without('url'), endpoint: CHAT }), [null]);
    assert.deepEqual(advice({ model: 'm', messages: [] }), [
      null,
      null,
      null,
      'The line has "messages" itself: put the request into its "body".',
    ]);
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
          'The custom_id for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch. Line 3 has "a" too.',
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
    assert.deepEqual(codes(faults(chat({ body: { model: null, messages: null } }))).length, 2);
    assert.equal(
      faults(chat({ body: { model: 'm', message: [] } }))[0]?.message,
      'Messages parameter is required. There is "message": did you mean "messages"?',
    );
    assert.equal(
      faults(chat({ body: { modle: 'm', messages: [] } }))[0]?.message,
      'Model parameter is required. There is "modle": did you mean "model"?',
    );
  });

  const lineOf = (url: string, body: Line) => chat({ url, body });

  it('V12: requires one of the members that an endpoint can work on', () => {
    for (const [url, alternatives] of [
      ['/v1/completions', ['prompt', 'prompt_embeds']],
      ['/v1/embeddings', ['input', 'messages']],
      ['/v1/responses', ['input', 'prompt', 'previous_response_id', 'conversation']],
      ['/v1/moderations', ['input']],
    ] as const) {
      for (const member of alternatives) assert.deepEqual(faults(lineOf(url, { model: 'm', [member]: 'x' }), url), [], `${url} ${member}`);
      const [usual = ''] = alternatives;
      for (const body of [{ model: 'm' }, { model: 'm', [usual]: null }]) {
        assert.deepEqual(codes(faults(lineOf(url, body), url)), [['invalid_request', `body.${usual}`, 7]]);
      }
    }
    assert.deepEqual(faults(lineOf('/v1/embeddings', { model: 'm' }), '/v1/embeddings'), [
      {
        code: 'invalid_request',
        message: 'Input parameter is required. The body must have one of "input", "messages".',
        param: 'body.input',
        line: 7,
      },
    ]);
    assert.deepEqual(faults(lineOf('/v1/moderations', { model: 'm' }), '/v1/moderations'), [
      { code: 'invalid_request', message: 'Input parameter is required.', param: 'body.input', line: 7 },
    ]);
    assert.deepEqual(faults(lineOf('/v1/rerank', { model: 'm' }), '/v1/rerank'), []);
  });

  it('V11: takes a line without a model where OpenAI does, and answers that it names none', () => {
    for (const model of [undefined, null, '']) {
      for (const url of ['/v1/responses', '/v1/moderations', '/v1/rerank', '/score']) {
        const checked = checker(url).check(Buffer.from(JSON.stringify(lineOf(url, { model, input: 'x' }))), 1);
        assert.deepEqual([checked.errors, checked.errors === null && checked.model], [null, null], url);
      }
      for (const [url, member] of [
        [CHAT, 'messages'],
        ['/v1/completions', 'prompt'],
        ['/v1/embeddings', 'input'],
      ] as const) {
        assert.deepEqual(codes(faults(lineOf(url, { model, [member]: 'x' }), url)), [['invalid_request', 'body.model', 7]]);
      }
    }
    assert.deepEqual(codes(faults(lineOf('/v1/responses', { model: 5, input: 'x' }), '/v1/responses')), [
      ['invalid_type', 'body.model', 7],
    ]);
  });

  it('V13: refuses every stream that a server may take for true', () => {
    const body = (stream: unknown) => chat({ body: { model: 'm', messages: [], stream } });
    assert.deepEqual(faults(body(true)), [
      {
        code: 'streaming_unsupported',
        message: 'Chat Completions: Streaming is not supported in the Batch API.',
        param: 'body.stream',
        line: 7,
      },
    ]);
    for (const on of ['true', 'True', 1, '1', 'yes', 'on', 'y', 't', 2, {}, []])
      assert.deepEqual(codes(faults(body(on))), [['streaming_unsupported', 'body.stream', 7]], JSON.stringify(on));
    assert.equal(
      faults(body('yes'))[0]?.message,
      'Chat Completions: Streaming is not supported in the Batch API. "stream" is "yes". Remove it, or set it to false.',
    );
    for (const off of [false, null, undefined, 0, '0', 'false', 'False', 'no', 'off', '']) assert.deepEqual(faults(body(off)), []);
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

  it('V13: refuses a response that is to be made in the background', () => {
    const url = '/v1/responses';
    const of = (background: unknown) => faults(lineOf(url, { model: 'm', input: 'x', background }), url);
    assert.deepEqual(of(true), [
      {
        code: 'streaming_unsupported',
        message:
          'Responses: Background mode is not supported in the Batch API. "background" is true. Remove it: the batch itself runs in the background.',
        param: 'body.background',
        line: 7,
      },
    ]);
    assert.deepEqual(codes(of('true')), [['streaming_unsupported', 'body.background', 7]]);
    assert.deepEqual([...of(false), ...of(null)], []);
    assert.deepEqual(faults(chat({ body: { model: 'm', messages: [], background: true } })), []);
  });

  describe('of a line over 1 MiB', () => {
    const LONG = 'é\\n'.repeat(300_000);
    const body = (changes: Line = {}) => chat({ body: { model: 'm', messages: [], ...changes } });
    /** The same lines with a short and with a long text in their body, and some whose other values are long. */
    const cases: [endpoint: string, line: Line][] = [
      [CHAT, chat()],
      [CHAT, chat({ custom_id: ' ' })],
      [CHAT, chat({ custom_id: 'x'.repeat(600) })],
      [CHAT, chat({ custom_id: '🌙'.repeat(20_000) })],
      [CHAT, chat({ custom_id: 3, method: 'GET', url: '/v1/embeddings' })],
      [CHAT, { custom_id: 'a', methode: 'POST', url: CHAT, body: { model: 'm', messages: [] } }],
      [CHAT, chat({ body: [] })],
      [CHAT, body({ model: '' })],
      [CHAT, body({ model: ['m'] })],
      [CHAT, body({ model: 'm"\\'.repeat(10_000) })],
      [CHAT, body({ stream: true })],
      [CHAT, body({ stream: 'false', model: 'other' })],
      [CHAT, chat({ body: { modle: 'm', mesages: [] } })],
      ['/v1/completions', chat({ url: '/v1/completions', body: { model: 'm', prompt_embeds: 'x' } })],
      ['/v1/responses', chat({ url: '/v1/responses', body: { input: 'x', background: true } })],
      ['/v1/embeddings', chat({ url: '/v1/embeddings', body: { model: 'm', input: ['x', 'y', ['z']] } })],
      ['/v1/embeddings', chat({ url: '/v1/embeddings', body: { model: 'm', input: Array.from({ length: 5000 }, () => 'x') } })],
      ['/v1/embeddings', chat({ url: '/v1/embeddings', body: { model: 'm', input: Array.from({ length: 5000 }, (_, at) => at) } })],
      ['/v1/embeddings', chat({ url: '/v1/embeddings', body: { model: 'm', input: [] } })],
    ];
    const withText = (line: Line, text: string) => {
      const { body: inner } = line;
      return Buffer.from(JSON.stringify({ ...line, body: Array.isArray(inner) ? [text] : { text, ...Object(inner) } }));
    };

    it('finds what it finds of a short one', () => {
      for (const [endpoint, line] of cases)
        assert.deepEqual(
          checker(endpoint).check(withText(line, LONG), 7),
          checker(endpoint).check(withText(line, ''), 7),
          JSON.stringify(line).slice(0, 200),
        );
    });

    it('V3: says where it is not JSON', () => {
      for (const [end, expected] of [
        ['"} x', /Column 900013 has an unexpected 'x'/],
        ['', /It ends before its JSON is complete/],
        ['\n', /Column 900010 has an unexpected U\+000A \(write \\u000a inside a string\)/],
      ] as const)
        assert.match(faults(`{"text":"${LONG.replaceAll('\n', ' ')}${end}`)[0]?.message ?? '', expected);
      const notUtf8 = Buffer.concat([Buffer.from('{"text":"'), Buffer.alloc(2_000_000, 'x'), Buffer.from([0xff])]);
      assert.match(faults(notUtf8)[0]?.message ?? '', /Byte 2000010 of the line is not valid UTF-8/);
    });
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

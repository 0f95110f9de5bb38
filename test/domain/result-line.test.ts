import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isJsonObject } from '../../src/domain/answer.ts';
import { answeredLine, erroredLine, notRunLine, wrapNonJson } from '../../src/domain/result-line.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const answered = (body: string | Uint8Array, changes = {}) =>
  answeredLine({ id: 'batch_req_1', customId: 'a', status: 200, requestId: 'r', body: Buffer.from(body), ...changes });
/** What stands as `body` in an answered line. */
const splicedBody = (body: string) =>
  text(answered(body)).slice(
    '{"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"request_id":"r","body":'.length,
    -'},"error":null}'.length,
  );
/** Everything at which Python's `str.splitlines` splits. */
const PYTHON_LINE_BREAK = /[\n\r\u000b\u000c\u001c-\u001e\u0085\u2028\u2029]/;

describe('answeredLine()', () => {
  it('is the output line of the contract', () => {
    assert.equal(
      text(answered('{"x":1.0}')),
      '{"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"request_id":"r","body":{"x":1.0}},"error":null}',
    );
  });

  it('passes the body byte for byte', () => {
    for (const body of [
      '{"b":1,"a":9223372036854775807,"a":1.0e5}',
      '{"s":"\\u00fc ü 😀 \\n \\/ ’ \u2026 \u00a0"}',
      '{ "a" : [ 1,\t2 ] }',
      '{"__proto__":{}}',
    ]) {
      assert.equal(splicedBody(body), body);
    }
  });

  it('drops byte order mark and whitespace around the body', () => {
    assert.equal(splicedBody('\uFEFF \r\n\t{"a": 1}\n\n'), '{"a": 1}');
  });

  it('turns each raw CR and each raw LF into one space', () => {
    assert.equal(splicedBody('{\r\n  "a": 1,\n\n"b":\r2}'), '{    "a": 1,  "b": 2}');
  });

  it('escapes the separators at which some readers break lines', () => {
    assert.equal(splicedBody('{"\u2028":"a\u0085b\u2029\u2028\u0084\u2027é"}'), '{"\\u2028":"a\\u0085b\\u2029\\u2028\u0084\u2027é"}');
  });

  it('does not change the bytes it was given', () => {
    const body = Buffer.from('{\n"a":"\u2028"}');
    const before = Buffer.from(body);
    answered(body);
    assert.deepEqual(body, before);
  });

  it('is one line for every reader and parses to the same body', () => {
    const word = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[\u0085\u2028\u2029\u2027\u00c2\u00e2a]*$/));
    const value = fc.dictionary(word, fc.anything({ key: word, values: [word, fc.double(), fc.boolean(), fc.constant(null)] }));
    fc.assert(
      fc.property(
        value,
        fc.string({ unit: 'binary' }),
        word,
        fc.constantFrom(undefined, 1, '\t', '\r\n'),
        (given, customId, requestId, indent) => {
          const body = JSON.stringify(given, null, 1).replaceAll('\n', typeof indent === 'string' ? indent : indent === 1 ? '\n' : '');
          if (!isJsonObject(Buffer.from(body))) return;
          const line = text(answered(body, { customId, requestId }));
          assert.doesNotMatch(line, PYTHON_LINE_BREAK);
          assert.deepEqual(JSON.parse(line), {
            id: 'batch_req_1',
            custom_id: customId,
            response: { status_code: 200, request_id: requestId, body: JSON.parse(body) },
            error: null,
          });
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('erroredLine(), notRunLine()', () => {
  it('are the error lines of the contract', () => {
    assert.equal(
      text(erroredLine({ id: 'batch_req_1', customId: 'a', code: 'request_timeout', message: 'No answer.' })),
      '{"id":"batch_req_1","custom_id":"a","response":null,"error":{"code":"request_timeout","message":"No answer."}}',
    );
    const reason = (code: 'batch_cancelled' | 'batch_expired') =>
      JSON.parse(text(notRunLine({ id: 'i', customId: 'c', reason: code }))).error;
    assert.deepEqual(reason('batch_cancelled'), {
      code: 'batch_cancelled',
      message: 'This request was not executed because the batch was cancelled.',
    });
    assert.deepEqual(reason('batch_expired'), {
      code: 'batch_expired',
      message: 'This request could not be executed before the completion window expired.',
    });
  });

  it('escape separators and lone surrogates in what we write ourselves', () => {
    const line = text(erroredLine({ id: 'i', customId: '\ud800x\u2028\u0085', code: 'c', message: 'a\nb\u2029\udc00' }));
    assert.equal(
      line,
      '{"id":"i","custom_id":"\\ud800x\\u2028\\u0085","response":null,"error":{"code":"c","message":"a\\nb\\u2029\\udc00"}}',
    );
  });
});

describe('wrapNonJson(text)', () => {
  it('makes an error object of a text', () => {
    assert.equal(
      text(wrapNonJson('<h1>Bad "Gateway"</h1>\n')),
      '{"error":{"message":"<h1>Bad \\"Gateway\\"</h1>\\n","type":"upstream_error","param":null,"code":null}}',
    );
  });

  it('keeps at most 2,000 characters and never half of one', () => {
    const message = (given: string): string => JSON.parse(text(wrapNonJson(given))).error.message;
    assert.equal(message('x'.repeat(1e6)), 'x'.repeat(2000));
    assert.equal(message('😀'.repeat(3000)), '😀'.repeat(2000));
    assert.equal(message(`x${'😀'.repeat(3000)}`), `x${'😀'.repeat(1999)}`);
    assert.equal(message(' '), 'The upstream answered with an empty body.');
  });
});

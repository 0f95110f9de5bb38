import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isJsonObject } from '../../src/domain/answer.ts';
import { createLineSplitter, type InputLine } from '../../src/domain/jsonl.ts';
import { readRequestLine } from '../../src/domain/request-line.ts';
import { answeredLine, erroredLine, notRunLine, wrapNonJson } from '../../src/domain/result-line.ts';
import { rawJson } from './raw-json.ts';

const MIB = 1024 * 1024;

/** An input line and what has to come of it. */
interface Written {
  line: string;
  customId: string;
  body: string;
}

/** Lines of an input may hold a raw CR between tokens, but no LF. */
const INPUT = rawJson(['\r']);
const ANSWER = rawJson(['\r', '\n', '\r\n']);

const written: fc.Arbitrary<Written> = fc
  .record({
    customId: INPUT.string,
    body: INPUT.object,
    /** Members nobody reads, and one that a later one of the same name hides. */
    before: fc.array(fc.tuple(fc.constantFrom('"body"', '"x"', '"method"', '"bod"'), INPUT.value), { maxLength: 2 }),
    after: fc.array(fc.tuple(fc.constantFrom('"y"', '"url"', '"__proto__"'), INPUT.value), { maxLength: 2 }),
    names: fc.constantFrom(['"custom_id"', '"body"'], ['"c\\u0075stom_id"', '"bod\\u0079"']),
    isBodyFirst: fc.boolean(),
    spaces: fc.array(INPUT.space, { minLength: 6, maxLength: 6 }),
  })
  .map(({ customId, body, before, after, names, isBodyFirst, spaces }) => {
    const [atStart = '', atEnd = '', beforeName = '', afterName = '', beforeValue = '', afterValue = ''] = spaces;
    const own = [
      [names[0], customId],
      [names[1], body],
    ];
    const members = [...before, ...(isBodyFirst ? own.toReversed() : own), ...after].map(
      ([name, value]) => `${beforeName}${name}${afterName}:${beforeValue}${value}${afterValue}`,
    );
    return { line: `${atStart}{${members.join(',')}}${atEnd}`, customId: JSON.parse(customId), body };
  });

/** A file of such lines, as editors of all sorts would leave it. */
const file = fc
  .record({
    mark: fc.constantFrom('', '\uFEFF'),
    lines: fc.array(fc.tuple(fc.array(fc.constantFrom('', ' ', '\t', '\r'), { maxLength: 2 }), written, fc.constantFrom('\n', '\r\n')), {
      minLength: 1,
      maxLength: 4,
    }),
    isLastBroken: fc.boolean(),
  })
  .map(({ mark, lines, isLastBroken }) => {
    const text =
      mark + lines.map(([blanks, { line }, lineBreak]) => blanks.map((blank) => blank + lineBreak).join('') + line + lineBreak).join('');
    return { bytes: Buffer.from(isLastBroken ? text : text.replace(/\r?\n$/, '')), requests: lines.map(([, request]) => request) };
  });

function split(chunks: readonly Uint8Array[]): InputLine[] {
  const splitter = createLineSplitter({ maxLineBytes: 100 * MIB });
  return [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()];
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const borders = [0, ...at.map((each) => each % (bytes.length + 1)).toSorted((one, other) => one - other), bytes.length];
  return borders.slice(1).map((end, index) => bytes.subarray(borders[index], end));
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const shown = ({ customId, body }: { customId: string; body: Uint8Array }) => ({ customId, body: Buffer.from(body).toString() });

describe('the bytes of a request', () => {
  it('go upstream as they stand in the input, wherever its chunks end', () => {
    fc.assert(
      fc.property(file, fc.array(fc.nat({ max: 100_000 }), { maxLength: 12 }), ({ bytes, requests }, borders) => {
        const wanted = requests.map(({ customId, body }) => ({ customId, body }));
        const found = split(cut(bytes, borders));
        assert.deepEqual(
          found.map((line) => shown(readRequestLine(line.bytes ?? new Uint8Array(0)))),
          wanted,
        );
        // A worker reads the line anew, from where the plan says that it stands.
        assert.deepEqual(
          found.map(({ offset, length }) => shown(readRequestLine(bytes.subarray(offset, offset + length)))),
          wanted,
        );
      }),
      { numRuns: 1000 },
    );
  });

  it('go upstream as they stand in the input, with a chunk border at every byte of it', () => {
    fc.assert(
      fc.property(file, ({ bytes, requests }) => {
        fc.pre(bytes.length < 1000);
        const wanted = requests.map(({ body }) => body);
        for (let at = 0; at <= bytes.length; at += 1) {
          const found = split([bytes.subarray(0, at), bytes.subarray(at)]);
          assert.deepEqual(
            found.map((line) => shown(readRequestLine(line.bytes ?? new Uint8Array(0))).body),
            wanted,
          );
        }
      }),
      { numRuns: 50 },
    );
  });

  it('go upstream as they stand in the input, 50 MB of them', () => {
    const body = `{"model":"m","n":1.0,"messages":["${'😀\u2028\\"}é'.repeat(4_400_000)}"],"n":1e5}`;
    const line = `{"custom_id":"large","body":${body}}`;
    const bytes = Buffer.from(`{"custom_id":"first","body":{}}\r\n${line}\r\n{"custom_id":"last","body":{}}`);
    assert.ok(bytes.length > 50 * MIB);
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 65_536) chunks.push(bytes.subarray(at, at + 65_536));
    const [, large] = split(chunks);
    const read = readRequestLine(large?.bytes ?? new Uint8Array(0));
    assert.equal(Buffer.compare(read.body, Buffer.from(body)), 0);
  });
});

/** The two exceptions to byte for byte, said once more in another way: on text, where the product works on bytes. */
function asInLine(answer: string): string {
  return answer
    .replace(/^\uFEFF/, '')
    .replace(/^[ \t\r\n]+/, '')
    .replace(/[ \t\r\n]+$/, '')
    .replaceAll(/[\r\n]/g, ' ')
    .replaceAll('\u0085', '\\u0085')
    .replaceAll('\u2028', '\\u2028')
    .replaceAll('\u2029', '\\u2029');
}

const answer = fc.tuple(fc.constantFrom('', '\uFEFF'), ANSWER.space, ANSWER.object, ANSWER.space).map((parts) => parts.join(''));
const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[\n\r\v\f\x1c-\x1e\x85\u2028\u2029"\\a]*$/));

describe('the bytes of an answer', () => {
  it('stand in the result line as they came, but for the two exceptions', () => {
    fc.assert(
      fc.property(answer, anyText, fc.constantFrom(200, 422), (body, customId, status) => {
        assert.ok(isJsonObject(Buffer.from(body)));
        const line = answeredLine({ id: 'batch_req_1', customId, status, requestId: 'r', body: Buffer.from(body) });
        const head = `{"id":"batch_req_1","custom_id":${asInLine(JSON.stringify(customId))},"response":{"status_code":${status},"request_id":"r","body":`;
        assert.equal(hex(line), hex(Buffer.from(`${head}${asInLine(body)}},"error":null}`)));
      }),
      { numRuns: 1000 },
    );
  });

  it('make as many lines for str.splitlines() as there are results', () => {
    const given = { id: 'batch_req_1' };
    const line = fc.oneof(
      fc
        .tuple(answer, anyText)
        .map(([body, text]) => answeredLine({ ...given, customId: text, status: 200, requestId: text, body: Buffer.from(body) })),
      anyText.map((text) => answeredLine({ ...given, customId: text, status: 502, requestId: 'r', body: wrapNonJson(text) })),
      anyText.map((text) => erroredLine({ ...given, customId: text, code: text, message: text })),
      anyText.map((text) => notRunLine({ ...given, customId: text, reason: 'batch_expired' })),
    );
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 5 }), (lines) => {
        const text = Buffer.concat(lines.flatMap((each) => [each, Buffer.from('\n')])).toString();
        // Everything at which Python's str.splitlines() splits.
        const found = text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);
        assert.equal(found.pop(), '', 'the last line is broken as well');
        assert.deepEqual(
          found,
          lines.map((each) => each.toString()),
        );
        for (const each of found) assert.deepEqual(Object.keys(JSON.parse(each)), ['id', 'custom_id', 'response', 'error']);
      }),
      { numRuns: 500 },
    );
  });
});

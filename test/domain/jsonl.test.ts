import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { createLineSplitter, type InputLine } from '../../src/domain/jsonl.ts';

/** Everything a splitter answers for bytes that come in the chunks given. */
function splitChunks(chunks: readonly Uint8Array[], maxLineBytes = 1e6): InputLine[] {
  const splitter = createLineSplitter({ maxLineBytes });
  return [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()];
}
const split = (text: string, maxLineBytes?: number) => splitChunks([Buffer.from(text)], maxLineBytes);
const texts = (lines: readonly InputLine[]) =>
  lines.map(({ line, bytes }) => [line, bytes === null ? null : Buffer.from(bytes).toString()]);
/** Plain values, so that chunk borders cannot show. */
const shape = (lines: readonly InputLine[]) =>
  lines.map(({ bytes, ...rest }) => ({ ...rest, text: bytes && Buffer.from(bytes).toString('hex') }));

describe('createLineSplitter()', () => {
  it('numbers lines from 1 and tells where they stand', () => {
    assert.deepEqual(
      split('{"a":1}\n{"bb":2}\n').map(({ line, offset, length }) => [line, offset, length]),
      [
        [1, 0, 7],
        [2, 8, 8],
      ],
    );
  });

  it('takes the last line without a line break', () => {
    assert.deepEqual(texts(split('a\nb')), [
      [1, 'a'],
      [2, 'b'],
    ]);
    assert.deepEqual(texts(split('a\nb\n')), [
      [1, 'a'],
      [2, 'b'],
    ]);
  });

  it('answers nothing for nothing', () => {
    assert.deepEqual([split(''), split('\n'), split('\uFEFF'), split('\uFEFF\n'), split(' \t\r\n\r\n  ')].flat(), []);
  });

  it('counts blank lines without answering them', () => {
    assert.deepEqual(texts(split('a\n\n \t\r\n\r\r\nb\n\n\n')), [
      [1, 'a'],
      [5, 'b'],
    ]);
  });

  it('takes white space of any kind for blank', () => {
    assert.deepEqual(texts(split('a\n\u00a0\n\f\v\n \u3000\u2003\r\n\u00a0b\n')), [
      [1, 'a'],
      [5, '\u00a0b'],
    ]);
  });

  it('takes a long line of white space for blank, and none that holds anything else', () => {
    assert.deepEqual(texts(split(`${'\u00a0'.repeat(1_000)}\n${'\u3000'.repeat(500)}x\n`)), [[2, `${'\u3000'.repeat(500)}x`]]);
    const cut = Buffer.concat([Buffer.from('\u3000'.repeat(500)), Buffer.from([0xe3, 0x80])]);
    assert.deepEqual(
      splitChunks([cut]).map(({ line }) => line),
      [1],
    );
  });

  it('drops one CR before the line break and keeps others', () => {
    assert.deepEqual(texts(split('a\r\nb\r\r\n\rc\rd\r\n')), [
      [1, 'a'],
      [2, 'b\r'],
      [3, '\rc\rd'],
    ]);
  });

  it('drops byte order marks at the start of any line, and takes a line of nothing else for blank', () => {
    assert.deepEqual(
      shape(split('\uFEFFa\n\uFEFFb\n\uFEFF\nc\uFEFF\n\uFEFF \r\n\uFEFF')),
      shape([
        { line: 1, offset: 3, length: 1, bytes: Buffer.from('a') },
        { line: 2, offset: 8, length: 1, bytes: Buffer.from('b') },
        { line: 4, offset: 14, length: 4, bytes: Buffer.from('c\uFEFF') },
      ]),
    );
    assert.deepEqual(texts(split('\uFEFF\uFEFFa')), [[1, 'a']]);
    assert.deepEqual(texts(split('\uFEFFabcd\r\n\uFEFFabcde', 4)), [
      [1, 'abcd'],
      [2, null],
    ]);
    const half = Buffer.from([0xef, 0xbb]);
    assert.deepEqual(
      splitChunks([half]).map(({ offset, length }) => [offset, length]),
      [[0, 2]],
    );
  });

  it('does not split at characters that other readers take for line breaks', () => {
    const text = '{"a":"\u2028\u2029\u0085\u000b\u000c"}';
    assert.deepEqual(texts(split(`${text}\nb`)), [
      [1, text],
      [2, 'b'],
    ]);
  });

  it('gives the length of a line that is too long, not its bytes', () => {
    const found = split('abcd\nabcde\nabcd\r\nabcde\r\nab\nabcdef', 4);
    assert.deepEqual(texts(found), [
      [1, 'abcd'],
      [2, null],
      [3, 'abcd'],
      [4, null],
      [5, 'ab'],
      [6, null],
    ]);
    assert.deepEqual(
      found.map(({ offset, length }) => [offset, length]),
      [
        [0, 4],
        [5, 5],
        [11, 4],
        [17, 5],
        [24, 2],
        [27, 6],
      ],
    );
  });

  it('does not report a blank line that is too long', () => {
    assert.deepEqual(texts(split(`a\n${' '.repeat(100)}\nb`, 4)), [
      [1, 'a'],
      [3, 'b'],
    ]);
  });

  it('answers the same wherever the chunks end', () => {
    const piece = fc.constantFrom('\n', '\r', '\r\n', ' ', '\t', '\uFEFF', '\u2028', '\u0085', '😀', 'ü', '{"a":"x"}', 'abcdefgh', '"');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), fc.integer({ min: 1, max: 12 }), (pieces, maxLineBytes) => {
        const bytes = Buffer.from(pieces.join(''));
        const whole = shape(splitChunks([bytes], maxLineBytes));
        for (let size = 1; size <= bytes.length; size++) {
          const chunks = [];
          for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size), new Uint8Array(0));
          assert.deepEqual(shape(splitChunks(chunks, maxLineBytes)), whole);
        }
        for (const { offset, length, text } of whole) {
          const cut = bytes.subarray(offset, offset + length);
          assert.equal(text, length > maxLineBytes ? null : cut.toString('hex'));
          assert.ok(!cut.includes(10));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('loses no request between lines of JSON', () => {
    fc.assert(
      fc.property(fc.array(fc.json()), fc.constantFrom('\n', '\r\n', '\n\n', '\n \r\n'), fc.boolean(), (documents, lineBreak, mark) => {
        const bytes = Buffer.from((mark ? '\uFEFF' : '') + documents.join(lineBreak));
        assert.deepEqual(
          texts(splitChunks([bytes])).map(([, text]) => text),
          documents,
        );
      }),
    );
  });

  it('splits a line of 50 MB that comes in chunks of 64 KiB in linear time', () => {
    const chunk = Buffer.alloc(65_536, 'x');
    const splitter = createLineSplitter({ maxLineBytes: 60_000_000 });
    const startedAt = performance.now();
    for (let at = 0; at < 800; at++) assert.deepEqual(splitter.push(chunk), []);
    const [line] = splitter.end();
    assert.equal(line?.bytes?.length, 52_428_800);
    assert.ok(performance.now() - startedAt < 3000, 'copying again with each chunk would take much longer');
  });

  it('holds nothing of a line that is too long', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage: unknown = runInNewContext('gc');
    assert.ok(typeof collectGarbage === 'function');
    const splitter = createLineSplitter({ maxLineBytes: 1000 });
    const chunks: WeakRef<Uint8Array>[] = [];
    for (let at = 0; at < 400; at++) {
      const chunk = new Uint8Array(1_000_000).fill(97);
      splitter.push(chunk);
      chunks.push(new WeakRef(chunk));
      assert.equal(splitter.heldBytes, 0);
    }
    // A weak reference holds its object until the task ends.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    const held = chunks.filter((chunk) => chunk.deref() !== undefined).length;
    assert.ok(held <= 2, `${held} chunks are held`);
    assert.deepEqual(
      splitter.push(Buffer.from('\nb\n')).map(({ length, bytes }) => [length, bytes === null]),
      [
        [400_000_000, true],
        [1, false],
      ],
    );
  });
});

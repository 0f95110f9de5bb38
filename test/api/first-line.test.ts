import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createFirstLineCheck } from '../../src/api/first-line.ts';

/** The verdict on content that arrives in chunks of this size. */
function verdict(content: string | Uint8Array, { chunkBytes = 7, maxLineBytes = 1e9 } = {}): boolean {
  const bytes = Buffer.from(content);
  const check = createFirstLineCheck(maxLineBytes);
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    if (!check.push(bytes.subarray(at, at + chunkBytes))) return false;
  }
  return check.end();
}

/** Why the content is refused. */
function reasonOf(content: string | Uint8Array, chunkBytes: number, maxLineBytes = 1e9): string {
  const bytes = Buffer.from(content);
  const check = createFirstLineCheck(maxLineBytes);
  let isGood = true;
  for (let at = 0; isGood && at < bytes.length; at += chunkBytes) isGood = check.push(bytes.subarray(at, at + chunkBytes));
  assert.equal(isGood && check.end(), false);
  return check.reason;
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('createFirstLineCheck', () => {
  it('agrees with JSON.parse on any value, cut anywhere', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.integer({ min: 1, max: 9 }), (value, chunkBytes) => {
        assert.equal(verdict(JSON.stringify(value), { chunkBytes }), true);
      }),
    );
  });

  it('agrees with JSON.parse on damaged texts', () => {
    const damaged = fc
      .tuple(
        fc.jsonValue(),
        fc.nat(),
        fc.constantFrom('', '"', '\\', '{', '}', '[', ']', ',', ':', '-', '.', 'e', '0', '1', ' ', '\u0001', '\\u12', 'true'),
        fc.nat({ max: 2 }),
      )
      .map(([value, at, put, cut]) => {
        const text = JSON.stringify(value);
        const from = at % (text.length + 1);
        return text.slice(0, from) + put + text.slice(from + cut);
      })
      // Cutting a pair of surrogates in two cannot be said in UTF-8.
      .filter((text) => text.isWellFormed() && text.trim() !== '');
    fc.assert(
      fc.property(damaged, fc.integer({ min: 1, max: 9 }), (text, chunkBytes) => {
        assert.equal(verdict(text, { chunkBytes }), parses(text));
      }),
      { numRuns: 3000 },
    );
  });

  it('agrees with JSON.parse on short texts of every kind', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:-+.eE01 tu\\n'), minLength: 1, maxLength: 8 }), (text) => {
        fc.pre(text.trim() !== '');
        assert.equal(verdict(text, { chunkBytes: 1 }), parses(text));
      }),
      { numRuns: 20_000 },
    );
  });

  it('knows the shapes of numbers', () => {
    for (const good of ['0', '-0', '10', '1.5', '1e5', '1E+5', '-1.25e-10', '[1,2]', '0 ']) assert.equal(verdict(good), true, good);
    for (const bad of ['-', '01', '1.', '.5', '1e', '1e+', '+1', '1 2', '0x1', '1..2']) assert.equal(verdict(bad), false, bad);
  });

  it('ignores byte order marks and blank lines before the first line, and everything after it', () => {
    assert.equal(verdict('\ufeff\r\n \t\r\n{"a":1}\r\n{malformed', { chunkBytes: 1 }), true);
    assert.equal(verdict('\n\n{malformed\n{"a":1}\n'), false);
    assert.equal(verdict('\n\ufeff\n\u00a0\f\n\ufeff{"a":1}\n', { chunkBytes: 1 }), true);
    assert.equal(verdict('\ufeff{malformed\n'), false);
  });

  it('says why it refuses, wherever the content is cut', () => {
    const early = 'Each line must hold one whole JSON object.';
    for (const [content, why] of [
      ['', 'The file has no line that is not blank.'],
      ['\n \r\n', 'The file has no line that is not blank.'],
      ['\n\n[\n  {"a":1}\n]\n', `Line 3: It begins with "[", but a JSON array is not JSONL. ${early}`],
      ['{\n  "a": 1\n}\n', `Line 1: It ends before its JSON is complete. ${early}`],
      ['custom_id,method\n', "Line 1: Column 1 has an unexpected 'c"],
      ['{"é":"🌙",}\n', "Line 1: Column 10 has an unexpected '}"],
      [Buffer.from('\ufeff{"a":1}\n', 'utf16le'), 'Line 1: The file is encoded in UTF-16. Save it as UTF-8.'],
      [Buffer.from('{"a":1}\n', 'utf16le'), 'Line 1: The file is encoded in UTF-16. Save it as UTF-8.'],
      [Buffer.from('{"a":"é"}\n', 'latin1'), 'Line 1: Byte 7 of the line is not valid UTF-8. Save the file as UTF-8.'],
      [`{"a":"${'x'.repeat(100_000)}",}`, 'Line 1: There is no valid JSON in UTF-8 after byte 100008.'],
    ] as const) {
      for (const chunkBytes of [2, 5, 1_000_000])
        assert.ok(reasonOf(content, chunkBytes).startsWith(why), `${reasonOf(content, chunkBytes)} instead of ${why}`);
    }
    assert.equal(reasonOf('{"a":1234}\n', 3, 9), 'Line 1 is larger than the 9 bytes maximum.');
  });

  it('refuses content without a line that is not blank', () => {
    for (const blank of ['', '\n', ' \r\n\t\n', '\ufeff', '\ufeff\n']) assert.equal(verdict(blank), false, JSON.stringify(blank));
  });

  it('refuses bytes that are no UTF-8', () => {
    assert.equal(verdict(Buffer.from([0x22, 0xff, 0x22])), false);
    assert.equal(verdict(Buffer.from([0x22, 0xc3, 0x22])), false);
    assert.equal(verdict('"ä€𝄞"', { chunkBytes: 1 }), true);
  });

  it('refuses a first line over the limit, and nesting without end', () => {
    assert.equal(verdict(`"${'x'.repeat(8)}"\n`, { maxLineBytes: 10 }), true);
    assert.equal(verdict(`"${'x'.repeat(9)}"\n`, { maxLineBytes: 10 }), false);
    assert.equal(verdict('['.repeat(20_000) + ']'.repeat(20_000), { chunkBytes: 4096 }), false);
  });
});

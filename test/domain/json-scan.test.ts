import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { memberRanges } from '../../src/domain/json-scan.ts';

/** The text of a member, as it stands in the document. */
function member(json: string, name: string): string | null {
  const bytes = Buffer.from(json);
  const [range] = memberRanges(bytes, [name]);
  return !range ? null : bytes.subarray(range.start, range.end).toString();
}

describe('memberRanges(json, names)', () => {
  it('finds a value exactly as it was written', () => {
    for (const value of ['{"a":1.0}', '[1, {"b":"}"}]', '"x\\"y\\\\"', '9223372036854775807', '1.0e+5', 'true', 'null', '{ }', '""']) {
      assert.equal(member(`{"x":[{"body":0}],"body":${value},"y":"]"}`, 'body'), value);
      assert.equal(member(` \t{\r\n "body" \n:\t${value} \r\n} `, 'body'), value);
    }
  });

  it('finds top-level members only', () => {
    assert.equal(member('{"a":{"body":1},"b":["body",2],"c":"\\"body\\":3"}', 'body'), null);
    assert.equal(member('{}', 'body'), null);
    assert.equal(member('{"bod":1,"bodyy":2,"Body":3}', 'body'), null);
  });

  it('takes the last of several, as JSON.parse does', () => {
    assert.equal(member('{"body":1,"body":{"x":2},"body" : "three"}', 'body'), '"three"');
  });

  it('knows keys that are written with escapes', () => {
    assert.equal(member('{"b\\u006fdy":1}', 'body'), '1');
    assert.equal(member('{"\\u0062\\u006F\\u0064\\u0079":2,"bo\\\\dy":3}', 'body'), '2');
    assert.equal(member('{"\uFEFFb\\u006fdy":1}', 'body'), null);
  });

  it('finds nothing in a document that is no object', () => {
    for (const json of ['[{"body":1}]', '"body"', '3', '', ' ']) assert.equal(member(json, 'body'), null);
  });

  it('passes 10,000 and more levels', () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    assert.equal(member(`{"a":${deep},"body":${deep}}`, 'body'), deep);
  });

  it('agrees with JSON.parse on any object', () => {
    // NOTE: no key `\\` here: once Node 24 has parsed one, its JSON.parse reads a later escaped key in that place as `\\` too.
    const key = fc.constantFrom('body', 'url', '__proto__', 'b', '"', 'ü', '\u2028', '😀', 'a\\"', '\uFEFF');
    const space = fc.constantFrom('', ' ', '\n\t', '\r\n');
    const entry = fc.tuple(key, fc.json(), space, fc.boolean()).map(([name, value, blank, escaped]) => {
      const quoted = JSON.stringify(name);
      const written = escaped
        ? quoted.replace(/[a-z]/, (found) => (quoted.includes('\\') ? found : `\\u00${found.charCodeAt(0).toString(16)}`))
        : quoted;
      return `${blank}${written}${blank}:${blank}${value}${blank}`;
    });
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        const bytes = Buffer.from(`{${entries.join(',')}}`);
        const parsed: unknown = JSON.parse(bytes.toString());
        const names = ['body', 'url', '__proto__', 'b', 'nobody'];
        memberRanges(bytes, names).forEach((range, at) => {
          const name = names[at] ?? '';
          const expected: unknown = Object.getOwnPropertyDescriptor(parsed, name)?.value;
          assert.deepEqual(range === null ? undefined : JSON.parse(bytes.subarray(range.start, range.end).toString()), expected);
        });
      }),
      { numRuns: 500 },
    );
  });
});

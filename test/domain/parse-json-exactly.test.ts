import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseJsonExactly } from '../../src/domain/parse-json-exactly.ts';

/** Leaves V8 with an object whose last key has a backslash where `read` has an escape, and answers what then comes of `read`. */
function afterOther<T>(other: string, read: string, parse: (text: string) => T): T {
  JSON.parse(`{"before":"1",${other}:"1"}`);
  return parse(`{"before":"1",${read}:"2"}`);
}

const CASES = [
  [String.raw`"a\\"`, String.raw`"a\n"`, 'a\n'],
  [String.raw`"\\"`, String.raw`"\""`, '"'],
  [String.raw`"\\u"`, String.raw`"\u0041y"`, 'Ay'],
] as const;

describe('parseJsonExactly(text)', () => {
  it('reads a key that is written with escapes, whatever was parsed before', () => {
    for (const [other, read, key] of CASES) {
      assert.deepEqual(afterOther(other, read, parseJsonExactly), { before: '1', [key]: '2' });
    }
  });

  it('does what JSON.parse of this Node does not: once this fails, it is no longer needed', () => {
    for (const [other, read, key] of CASES) {
      assert.notDeepEqual(afterOther(other, read, JSON.parse), { before: '1', [key]: '2' });
    }
  });

  it('keeps order, numbers, repeated keys and __proto__ as JSON.parse does', () => {
    for (const text of [
      String.raw`{"b\t":1,"10":2,"a":3,"2":{"\r":[{"\t":{}}]},"b\t":{"x":1}}`,
      String.raw`{"\u0061":1,"a":2}`,
      String.raw`{"a":1,"\u0061":2}`,
      String.raw`{"__proto__":{"\n":1},"\u005f_proto__":{"x":{"__proto__":{"y":1}}}}`,
      String.raw` [ "a\": b" , { "k0\f" : "\"k1\":" , "k0":0 } ]`,
    ]) {
      const [found, expected] = [parseJsonExactly(text), JSON.parse(text)];
      assert.deepEqual(found, expected);
      assert.equal(JSON.stringify(found), JSON.stringify(expected));
    }
  });

  it('agrees with JSON.parse on any JSON, and on what is none', () => {
    const key = fc.constantFrom('"\\n"', '"\\""', '"\\u00e9"', '"k0"', '"k1"', '"7"', '"__proto__"', '"a\\/b"', '"é☃"', '"a"');
    const { json } = fc.letrec<{ json: string }>((tie) => ({
      json: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom('1', '"\\\\"', '"x\\":"', 'null', '""', '"\\ud83d"'),
        fc.array(tie('json'), { maxLength: 3 }).map((all) => `[${all.join(' , ')}]`),
        fc.array(fc.tuple(key, tie('json')), { maxLength: 4 }).map((all) => `{${all.map((member) => member.join(' :\n')).join(',')}}`),
      ),
    }));
    const outcome = (parse: (text: string) => unknown, text: string) => {
      try {
        return { value: parse(text) };
      } catch {
        return 'no JSON';
      }
    };
    const cut = fc.tuple(json, fc.nat(), fc.constantFrom('', '\n', '"', '\\', ':', '{"a\\n":', ' ')).map(([text, at, put]) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + put + text.slice(place);
    });
    fc.assert(
      fc.property(fc.oneof(json, cut), (text) => {
        const [found, expected] = [outcome(parseJsonExactly, text), outcome(JSON.parse, text)];
        assert.equal(found === 'no JSON', expected === 'no JSON');
        // A backslash that a cut put into a key would mislead JSON.parse.
        if (!text.includes('\\\\')) assert.deepEqual(found, expected);
      }),
      { numRuns: 3000 },
    );
  });

  it('passes 200,000 levels', () => {
    const deep = '[{"a":'.repeat(100_000) + String.raw`{"\n":1}` + '}]'.repeat(100_000);
    let found = parseJsonExactly(deep);
    for (let level = 0; level < 100_000; level += 1) found = Object(found)[0].a;
    assert.deepEqual(found, { '\n': 1 });
  });
});

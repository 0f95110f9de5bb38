import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { outlineJson } from '../../src/domain/json-outline.ts';

const WANTED = { members: ['custom_id', 'body'], inner: 'body', innerMembers: ['model', 'input', 'stream'], measured: ['model'] };
const outline = (json: string) => outlineJson(Buffer.from(json), WANTED);
const LONG = 'é'.repeat(5000);

describe('outlineJson', () => {
  it('is what JSON.parse returns where all values are short and wanted', () => {
    fc.assert(
      fc.property(
        fc.record({
          custom_id: fc.jsonValue(),
          body: fc.oneof(fc.record({ model: fc.jsonValue(), input: fc.jsonValue() }), fc.jsonValue()),
        }),
        (value) => {
          const json = JSON.stringify(value);
          const { body } = JSON.parse(json);
          const isRecord = typeof body === 'object' && body !== null && !Array.isArray(body);
          if (!isRecord || Object.keys(body).every((name) => WANTED.innerMembers.includes(name)))
            assert.deepEqual(outline(json), JSON.parse(json));
        },
      ),
    );
    for (const json of ['[1]', '"x"', ' null ', '3', 'false', '{}']) assert.deepEqual(outline(json), JSON.parse(json));
  });

  it('takes the last of several members, and knows names with escapes', () => {
    assert.deepEqual(outline('{"custom_id":1,"body":{"model":"a"},"custom_i\\u0064":2,"body":{"model":"b"}}'), {
      custom_id: 2,
      body: { model: 'b' },
    });
  });

  it('keeps the names of other members, and of a million no more than a hundred', () => {
    assert.deepEqual(outline('{"__proto__":{},"costum_id":"x","body":{"modle":"y"}}'), {
      ['__proto__']: true,
      costum_id: true,
      body: { modle: true },
    });
    const many = `{${Array.from({ length: 10_000 }, (_, at) => `"m${at}":0`).join(',')},"custom_id":"x"}`;
    const found = Object(outline(many));
    assert.deepEqual([Object.keys(found).length, found.custom_id], [101, 'x']);
  });

  it('has stand-ins for long values, which have their type, and their length where it matters', () => {
    const body = { model: LONG, input: LONG, messages: [LONG], stream: { a: LONG } };
    const found = Object(outline(JSON.stringify({ custom_id: [LONG, LONG, 1], body })));
    assert.equal(found.custom_id.length, 3);
    assert.deepEqual(
      [Array.from(found.body.model).length, LONG.startsWith(found.body.input), found.body.input.length > 1000],
      [5000, true, true],
    );
    assert.deepEqual([found.body.stream, found.body.messages], [{}, true]);
  });

  it('counts the characters of a string whatever escapes it has', () => {
    for (const part of ['\\n', '\\u00e9', '\\ud83d\\ude00', '\\uD83D\\uDE00', '\\ud83d', '\\\\', '\\"', '🌙', '\\\\u1234', 'ab\\u000A']) {
      const json = `{"body":{"model":"${part.repeat(3001)}"}}`;
      const found = Object(outline(json));
      assert.equal(Array.from(found.body.model).length, Array.from(JSON.parse(json).body.model).length, part);
      assert.ok(JSON.parse(json).body.model.startsWith(found.body.model.slice(0, 300)), part);
    }
  });

  it('tells an array of numbers from others, and how many those are', () => {
    const input = (values: unknown[]) => Object(outline(JSON.stringify({ body: { input: values } }))).body.input;
    assert.ok(input(Array.from({ length: 5000 }, (_, at) => -at)).every((each: unknown) => typeof each === 'number'));
    for (const other of ['x', [1], null]) {
      const mixed = input([...Array.from({ length: 5000 }, () => 1), other]);
      assert.deepEqual([mixed.length, mixed.every((each: unknown) => typeof each === 'number')], [5001, false]);
    }
    assert.equal(input(Array.from({ length: 3000 }, () => ['a,]"'])).length, 3000);
  });

  it('is undefined for what is not JSON in UTF-8', () => {
    for (const json of [`{"body":"${LONG}`, `{"body":"${LONG}"}}`, `{"body":"${LONG}\n"}`, '', `{"a":"${LONG}",}`])
      assert.equal(outline(json), undefined);
    assert.equal(outlineJson(Buffer.from([0x22, 0xff, 0x22]), WANTED), undefined);
  });
});

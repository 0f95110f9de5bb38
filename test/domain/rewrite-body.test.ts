import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { rewriteBody } from '../../src/domain/rewrite-body.ts';

const alias = (model: string) => ({ short: 'org/Long-Name', 'wärm 🌙': 'm', odd: 'a"b\\c' })[model] ?? null;

/** The body as text after its changes. */
function rewritten(body: string, additions: Record<string, unknown> = {}): string {
  return Buffer.from(rewriteBody(Buffer.from(body), { alias, additions })).toString();
}

describe('rewriteBody(body, changes)', () => {
  it('replaces the value of model and no other byte', () => {
    const cases: [body: string, expected: string][] = [
      ['{"model":"short"}', '{"model":"org/Long-Name"}'],
      ['{"model":"odd"}', '{"model":"a\\"b\\\\c"}'],
      [' \t{ "model" :\r\n "short" , "x":1 } \n', ' \t{ "model" :\r\n "org/Long-Name" , "x":1 } \n'],
      [
        '{"a":{"model":"short"},"b":["model","short"],"model":"short"}',
        '{"a":{"model":"short"},"b":["model","short"],"model":"org/Long-Name"}',
      ],
      ['{"mod\\u0065l":"short","n":1.0}', '{"mod\\u0065l":"org/Long-Name","n":1.0}'],
      ['{"model":"\\u0073hort"}', '{"model":"org/Long-Name"}'],
      ['{"model":"wärm 🌙","s":"wärm 🌙"}', '{"model":"m","s":"wärm 🌙"}'],
      [
        '{"seed":9223372036854775807,"x":1.0e+5,"s":"\u2028\\u00e9\\/","model":"short","x":1e400}',
        '{"seed":9223372036854775807,"x":1.0e+5,"s":"\u2028\\u00e9\\/","model":"org/Long-Name","x":1e400}',
      ],
    ];
    for (const [body, expected] of cases) assert.equal(rewritten(body), expected);
  });

  it('replaces every one of several models when the last one has an alias', () => {
    assert.equal(rewritten('{"model":"other","x":1,"model":"short"}'), '{"model":"org/Long-Name","x":1,"model":"org/Long-Name"}');
    assert.equal(rewritten('{"model":5,"model":"short"}'), '{"model":"org/Long-Name","model":"org/Long-Name"}');
    assert.equal(rewritten('{"model":"short","model":"other"}'), '{"model":"short","model":"other"}');
  });

  it('adds members that are not there at the end', () => {
    const additions = { priority: 5, chat_template_kwargs: { enable_thinking: false }, stop: ['é'] };
    const added = '"priority":5,"chat_template_kwargs":{"enable_thinking":false},"stop":["é"]';
    const cases: [body: string, expected: string][] = [
      ['{"model":"m"}', `{"model":"m",${added}}`],
      ['{}', `{${added}}`],
      [' { \n} ', ` {${added} \n} `],
      ['{"x":[1,{"priority":1}] \t } ', `{"x":[1,{"priority":1}],${added} \t } `],
      ['{"priority":1}', '{"priority":1,"chat_template_kwargs":{"enable_thinking":false},"stop":["é"]}'],
      ['{"priority":null,"st\\u006fp":0}', '{"priority":null,"st\\u006fp":0,"chat_template_kwargs":{"enable_thinking":false}}'],
    ];
    for (const [body, expected] of cases) assert.equal(rewritten(body, additions), expected);
  });

  it('does both at once, and adds a model where there is none', () => {
    assert.equal(rewritten('{"model":"short"}', { priority: 1 }), '{"model":"org/Long-Name","priority":1}');
    assert.equal(rewritten('{"input":"x"}', { model: 'default' }), '{"input":"x","model":"default"}');
    assert.equal(rewritten('{"model":"m"}', { model: 'default' }), '{"model":"m"}');
  });

  it('answers the same bytes when there is nothing to change', () => {
    for (const text of ['{"model":"other"}', '{"model":null}', '{"model":["short"]}', '{"x":1}', '{}', '[{"model":"short"}]', '"short"']) {
      const body = Buffer.from(text);
      assert.equal(rewriteBody(body, { alias, additions: {} }), body);
    }
    const body = Buffer.from('{"model":"other","priority":0}');
    assert.equal(rewriteBody(body, { alias, additions: { priority: 5 } }), body);
  });

  it('means what JSON.parse says of any object', () => {
    const member = fc.tuple(
      fc.constantFrom('"model"', '"mod\\u0065l"', '"priority"', '"x"', '""'),
      fc.constantFrom('"short"', '"other"', '1', '{}'),
    );
    fc.assert(
      fc.property(fc.array(member, { maxLength: 6 }), fc.constantFrom('', ' ', '\r\n'), (members, space) => {
        const text = `{${space}${members.map((each) => each.join(space + ':')).join(`${space},${space}`)}${space}}`;
        const before: { model?: unknown } = JSON.parse(text);
        const expected = {
          priority: 5,
          ...before,
          ...(before.model === 'short' ? { model: 'org/Long-Name' } : {}),
        };
        assert.deepEqual(JSON.parse(rewritten(text, { priority: 5 })), expected);
      }),
    );
  });
});

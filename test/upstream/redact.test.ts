import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Credentials, createRedaction } from '../../src/upstream/client/redact.ts';

const NIGHT: Credentials = { apiKey: 'sk-night', headers: {}, urls: [] };

function redacted(text: string, changes: Partial<Credentials> = {}, isSuccess = false): string {
  return createRedaction({ ...NIGHT, ...changes })(Buffer.from(text), isSuccess).toString();
}

describe('createRedaction', () => {
  it('replaces every occurrence of the key and leaves everything else', () => {
    assert.equal(redacted('{"a":"sk-night","b":"xsk-nightsk-night é"}'), '{"a":"***","b":"x****** é"}');
  });

  it('hands back the same bytes when there is no key in them', () => {
    const body = Buffer.from([0xff, 0x00, 0x41]);
    for (const isSuccess of [true, false]) assert.equal(createRedaction(NIGHT)(body, isSuccess), body);
    assert.equal(redacted('{"a":"text"}', { apiKey: '' }), '{"a":"text"}');
  });

  it('replaces a key that stands escaped in JSON', () => {
    assert.equal(redacted('{"a":"k\\"1","b":"k\\"1"}', { apiKey: 'k"1' }), '{"a":"***","b":"***"}');
  });

  it('replaces the values of headers that let somebody in, with and without their scheme', () => {
    const headers = { Authorization: 'Bearer top', 'api-key': 'azure-1', 'x-organisation': 'acme' };
    assert.equal(redacted('Bearer top, top, azure-1, acme', { headers }), 'Bearer ***, ***, ***, acme');
  });

  it('replaces the password of a base URL, plain and as it was sent', () => {
    const sent = Buffer.from('me:hidden').toString('base64');
    assert.equal(redacted(`hidden ${sent}`, { urls: ['http://me:hidden@x/v1'] }), '*** ***');
  });

  it('replaces secrets in the query of a base URL, and no other parameter', () => {
    const urls = ['https://x/v1?api-version=2024-10-21&api-key=query-key&code=query-code'];
    assert.equal(redacted('2024-10-21 query-key query-code', { urls }), '2024-10-21 *** ***');
  });

  it('replaces a key in every form in which servers write it', () => {
    const apiKey = 'sk/a+b=c&d<"é>';
    const forms = [
      apiKey,
      JSON.stringify(apiKey),
      JSON.stringify(apiKey).replaceAll('/', '\\/'),
      'sk/a\\u002Bb=c\\u0026d\\u003C\\"\\u00E9\\u003E',
      encodeURIComponent(apiKey),
      Buffer.from(apiKey).toString('base64'),
      'sk/a+b=c&amp;d&lt;&quot;é&gt;',
    ];
    for (const form of forms) assert.match(redacted(`before ${form} after`, { apiKey }, true), /^before "?\*\*\*"? after$/, form);
  });

  it('replaces a key that stands in a longer text in base64, wherever it begins', () => {
    const apiKey = 'sk-up>>>stream???8d1f6c';
    for (const encoding of ['base64', 'base64url'] as const) {
      for (const text of [apiKey, `Bearer ${apiKey}`, `{"key":"${apiKey}","n":1}`, `a${apiKey}`, `ab${apiKey}b`, `:${apiKey}`]) {
        const encoded = Buffer.from(text).toString(encoding);
        const found = redacted(`{"debug":"${encoded}"}`, { apiKey }, true);
        assert.match(found, /\*\*\*/, text);
        // At most the beginning or the end of the key is left, in characters that it shares with its neighbours.
        assert.doesNotMatch(found, new RegExp(Buffer.from(apiKey).toString(encoding).slice(4, 16)));
      }
    }
  });

  it('replaces a key in a URL, whichever case its digits have', () => {
    assert.equal(redacted('k%2fa k%2Fa', { apiKey: 'k/a' }), '*** ***');
  });

  it('leaves words that are plainly no secret in a successful answer', () => {
    for (const apiKey of ['EMPTY', 'none', 'ollama', 'lm-studio', 'not-needed', '1234567890']) {
      const said = `{"content":"${apiKey}","n":1234567890}`;
      assert.equal(redacted(said, { apiKey }, true), said);
      assert.doesNotMatch(redacted(said, { apiKey }, false), new RegExp(`"${apiKey}"`));
    }
    assert.equal(redacted('{"content":"sk-night"}', {}, true), '{"content":"***"}');
  });
});

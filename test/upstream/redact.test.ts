import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRedaction } from '../../src/upstream/redact.ts';

function redacted(text: string, changes: Partial<Parameters<typeof createRedaction>[0]> = {}): string {
  const redact = createRedaction({ apiKey: 'sk-night', headers: {}, userinfos: [], ...changes });
  return redact(Buffer.from(text)).toString();
}

describe('createRedaction', () => {
  it('replaces every occurrence of the key and leaves everything else', () => {
    assert.equal(redacted('{"a":"sk-night","b":"xsk-nightsk-night é"}'), '{"a":"***","b":"x****** é"}');
  });

  it('hands back the same bytes when there is no key in them', () => {
    const body = Buffer.from([0xff, 0x00, 0x41]);
    assert.equal(createRedaction({ apiKey: 'sk-night', headers: {}, userinfos: [] })(body), body);
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
    assert.equal(redacted(`hidden ${sent}`, { userinfos: ['me:hidden'] }), '*** ***');
  });
});

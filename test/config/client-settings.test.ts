import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ClientSources, loadClientConfig } from '../../src/config/client-settings.ts';

/** Address and key that the sources make. */
function chosen(sources: Partial<ClientSources>): [string, string | null] {
  const { baseUrl, apiKey } = loadClientConfig({ env: {}, ...sources });
  return [baseUrl, apiKey];
}

describe('loadClientConfig', () => {
  it('takes the address of an option, then our variable, then that of .env, then that of the OpenAI SDKs, then this machine', () => {
    const env = { NIGHTSHIFT_BASE_URL: 'http://a/v1/', OPENAI_BASE_URL: 'http://b/v1' };
    assert.equal(chosen({ env, options: { baseUrl: 'http://c/v1', apiKey: null } })[0], 'http://c/v1');
    assert.equal(chosen({ env })[0], 'http://a/v1');
    assert.equal(chosen({ env: { OPENAI_BASE_URL: 'http://b/v1' }, file: { NIGHTSHIFT_BASE_URL: 'http://f/v1' } })[0], 'http://f/v1');
    assert.equal(chosen({ env: { OPENAI_BASE_URL: 'http://b/v1' }, file: { OPENAI_BASE_URL: 'http://f/v1' } })[0], 'http://b/v1');
    assert.deepEqual(chosen({}), ['http://127.0.0.1:7800/v1', null]);
    assert.equal(chosen({ env: { NIGHTSHIFT_API_PORT: '7801' } })[0], 'http://127.0.0.1:7801/v1');
  });

  it('adds the /v1 of a bare origin, and keeps every other path', () => {
    const read = (url: string) => chosen({ env: { NIGHTSHIFT_BASE_URL: url } })[0];
    assert.deepEqual(['http://a:7800', 'http://a:7800/', ' http://a/gateway/v1/ '].map(read), [
      'http://a:7800/v1',
      'http://a:7800/v1',
      'http://a/gateway/v1',
    ]);
  });

  it('sends OPENAI_API_KEY to the host of OPENAI_BASE_URL alone', () => {
    const key = { OPENAI_API_KEY: 'sk' };
    assert.deepEqual(chosen({ env: key }), ['http://127.0.0.1:7800/v1', null]);
    assert.deepEqual(chosen({ env: { ...key, OPENAI_BASE_URL: 'http://b/v1' } }), ['http://b/v1', 'sk']);
    assert.deepEqual(chosen({ env: { ...key, NIGHTSHIFT_BASE_URL: 'http://b/v1' } }), ['http://b/v1', null]);
    assert.deepEqual(chosen({ env: { ...key, OPENAI_BASE_URL: 'http://b/v1', NIGHTSHIFT_BASE_URL: 'http://b/batch/v1' } }), [
      'http://b/batch/v1',
      'sk',
    ]);
    assert.equal(chosen({ env: { ...key, NIGHTSHIFT_BASE_URL: 'https://api.openai.com/v1' } })[1], 'sk');
    assert.equal(chosen({ env: { ...key, NIGHTSHIFT_BASE_URL: 'http://api.openai.com/v1' } })[1], null, 'another scheme is another origin');
  });

  it('sends no exported key to an address of .env, whatever names it', () => {
    const env = { NIGHTSHIFT_API_KEY: 'ours', OPENAI_API_KEY: 'sk', NIGHTSHIFT_API_KEYS: 'server=t' };
    for (const file of [{ NIGHTSHIFT_BASE_URL: 'http://evil/v1' }, { NIGHTSHIFT_API_PORT: '6666' }]) {
      assert.equal(chosen({ env, file })[1], null);
      assert.equal(chosen({ env, file: { ...file, NIGHTSHIFT_API_KEY: 'of-file' } })[1], 'of-file');
    }
    assert.deepEqual(chosen({ env, file: { OPENAI_BASE_URL: 'http://evil/v1' } }), ['http://127.0.0.1:7800/v1', 'ours']);
  });

  it('keeps a key with the address that was set beside it', () => {
    const pair = { NIGHTSHIFT_BASE_URL: 'http://a/v1', NIGHTSHIFT_API_KEY: 'k' };
    const elsewhere = { baseUrl: 'http://b/v1', apiKey: null };
    assert.equal(chosen({ env: pair })[1], 'k');
    assert.equal(chosen({ env: pair, options: elsewhere })[1], null);
    assert.equal(chosen({ env: {}, file: pair, options: elsewhere })[1], null);
    assert.equal(chosen({ env: { NIGHTSHIFT_API_KEY: 'k' }, options: elsewhere })[1], 'k');
    assert.equal(chosen({ env: pair, options: { baseUrl: 'http://b/v1', apiKey: 'given' } })[1], 'given');
  });

  it('takes a key of the API on this machine, and sends it nowhere else', () => {
    const keys = { NIGHTSHIFT_API_KEYS: 'sk-mine=t' };
    assert.equal(chosen({ env: keys })[1], 'sk-mine');
    assert.equal(chosen({ env: { ...keys, NIGHTSHIFT_API_KEY: 'k' } })[1], 'k');
    for (const name of ['NIGHTSHIFT_BASE_URL', 'OPENAI_BASE_URL'])
      assert.equal(chosen({ env: { ...keys, [name]: 'http://elsewhere/v1' } })[1], null);
  });

  it('refuses what cannot be sent, by the name of its source', () => {
    const refused = (env: Record<string, string>, message: RegExp) => assert.throws(() => chosen({ env }), message);
    refused({ NIGHTSHIFT_BASE_URL: 'gpu:7800' }, /NIGHTSHIFT_BASE_URL must be an http/);
    refused({ OPENAI_BASE_URL: 'http://user:secret@a/v1' }, /^(?![\s\S]*secret)[\s\S]*OPENAI_BASE_URL must not have a user/);
    refused({ NIGHTSHIFT_BASE_URL: 'http://a/v1?x=1' }, /must end with its path/);
    refused({ NIGHTSHIFT_API_KEY: 'two words' }, /^(?![\s\S]*two)[\s\S]*NIGHTSHIFT_API_KEY must be printable/);
    assert.equal(chosen({ env: { NIGHTSHIFT_API_KEY: ' k\n' } })[1], 'k');
  });
});

describe('keyHint', () => {
  const hint = (sources: Partial<ClientSources>) => loadClientConfig({ env: {}, ...sources }).keyHint;

  it('names the key that was sent, or why none was', () => {
    assert.match(hint({ env: { NIGHTSHIFT_API_KEY: 'k' } }), /was that of NIGHTSHIFT_API_KEY/);
    assert.match(hint({}), /set NIGHTSHIFT_API_KEY, or give --api-key/);
    assert.match(hint({ env: { OPENAI_API_KEY: 'sk' } }), /OPENAI_API_KEY was not sent.*Set NIGHTSHIFT_API_KEY/);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { requestIdOf } from '../../src/upstream/client/request-id.ts';

describe('requestIdOf', () => {
  it('takes the best known header that has a value', () => {
    const headers = { 'apim-request-id': 'azure', 'x-ms-request-id': 'ms', 'request-id': 'anthropic', 'x-request-id': 'openai' };
    assert.equal(requestIdOf(headers), 'openai');
    assert.equal(requestIdOf({ ...headers, 'x-request-id': ' ' }), 'anthropic');
    assert.equal(requestIdOf({ 'apim-request-id': 'azure', 'x-ms-request-id': 'ms' }), 'azure');
    assert.equal(requestIdOf({ 'x-ms-request-id': 'ms', 'cf-ray': 'ray' }), 'ms');
    assert.equal(requestIdOf({ 'x-amzn-requestid': 'bedrock' }), 'bedrock');
  });

  it('takes the first of several values, and no more than 256 characters', () => {
    assert.equal(requestIdOf({ 'x-request-id': ['one', 'two'] }), 'one');
    assert.equal(requestIdOf({ 'x-request-id': 'x'.repeat(10_000) })?.length, 256);
  });

  it('is null where no header names the request', () => {
    for (const headers of [{}, { 'x-request-id': '' }, { 'x-request-id': [] }, { server: 'uvicorn' }])
      assert.equal(requestIdOf(headers), null);
  });
});

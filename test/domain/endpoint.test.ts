import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_ENDPOINTS, endpointRules } from '../../src/domain/endpoint.ts';

describe('endpointRules(path)', () => {
  it('knows what each default endpoint requires', () => {
    const required = DEFAULT_ENDPOINTS.map((path) => [path, endpointRules(path).required?.member]);
    assert.deepEqual(required, [
      ['/v1/chat/completions', 'messages'],
      ['/v1/completions', 'prompt'],
      ['/v1/embeddings', 'input'],
      ['/v1/responses', 'input'],
      ['/v1/moderations', 'input'],
    ]);
  });

  it('requires nothing besides the model of an endpoint it does not know', () => {
    assert.deepEqual(endpointRules('/v1/rerank'), { path: '/v1/rerank', title: '/v1/rerank', required: null });
  });
});

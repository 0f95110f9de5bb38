import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_ENDPOINTS, endpointRules } from '../../src/domain/endpoint.ts';

describe('endpointRules(path)', () => {
  it('knows what each default endpoint requires', () => {
    const required = DEFAULT_ENDPOINTS.map((path) => [path, endpointRules(path).needsModel, ...endpointRules(path).oneOf]);
    assert.deepEqual(required, [
      ['/v1/chat/completions', true, 'messages'],
      ['/v1/completions', true, 'prompt', 'prompt_embeds'],
      ['/v1/embeddings', true, 'input', 'messages'],
      ['/v1/responses', false, 'input', 'prompt', 'previous_response_id', 'conversation'],
      ['/v1/moderations', false, 'input'],
    ]);
  });

  it('requires nothing of an endpoint it does not know', () => {
    assert.deepEqual(endpointRules('/v1/rerank'), { path: '/v1/rerank', title: '/v1/rerank', needsModel: false, oneOf: [] });
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseBaseUrl } from '../../src/upstream/client/base-url.ts';

/** Base URLs as their servers document them for the SDKs of OpenAI, and what the SDK asks there. */
const CHAT: readonly [server: string, baseUrl: string, url: string][] = [
  ['OpenAI', 'https://api.openai.com/v1', 'https://api.openai.com/v1/chat/completions'],
  [
    'Gemini',
    'https://generativelanguage.googleapis.com/v1beta/openai/',
    'https://generativelanguage.googleapis.com/v1beta/openai/chat/completions',
  ],
  [
    'Vertex AI',
    'https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi',
    'https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi/chat/completions',
  ],
  [
    'Azure, one deployment',
    'https://res.openai.azure.com/openai/deployments/gpt-4o-mini?api-version=2024-10-21',
    'https://res.openai.azure.com/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21',
  ],
  ['Azure, version 1', 'https://res.openai.azure.com/openai/v1/', 'https://res.openai.azure.com/openai/v1/chat/completions'],
  [
    'Azure, version 1 in preview',
    'https://res.openai.azure.com/openai/v1/?api-version=preview',
    'https://res.openai.azure.com/openai/v1/chat/completions?api-version=preview',
  ],
  [
    'Bedrock',
    'https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1',
    'https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1/chat/completions',
  ],
  ['Volcengine Ark', 'https://ark.cn-beijing.volces.com/api/v3', 'https://ark.cn-beijing.volces.com/api/v3/chat/completions'],
  ['Zhipu', 'https://open.bigmodel.cn/api/paas/v4/', 'https://open.bigmodel.cn/api/paas/v4/chat/completions'],
  [
    'DashScope',
    'https://dashscope-intl.aliyuncs.com/compatible-mode/v1',
    'https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions',
  ],
  ['DeepInfra', 'https://api.deepinfra.com/v1/openai', 'https://api.deepinfra.com/v1/openai/chat/completions'],
  ['Perplexity', 'https://api.perplexity.ai', 'https://api.perplexity.ai/chat/completions'],
  ['DeepSeek', 'https://api.deepseek.com', 'https://api.deepseek.com/v1/chat/completions'],
  ['GitHub Models', 'https://models.github.ai/inference', 'https://models.github.ai/inference/chat/completions'],
  ['Hugging Face', 'https://router.huggingface.co/v1', 'https://router.huggingface.co/v1/chat/completions'],
  [
    'Cloudflare AI Gateway',
    'https://gateway.ai.cloudflare.com/v1/account/gateway/compat',
    'https://gateway.ai.cloudflare.com/v1/account/gateway/compat/chat/completions',
  ],
  [
    'Cloudflare Workers AI',
    'https://api.cloudflare.com/client/v4/accounts/account/ai/v1',
    'https://api.cloudflare.com/client/v4/accounts/account/ai/v1/chat/completions',
  ],
  [
    'Databricks',
    'https://dbc-1.cloud.databricks.com/serving-endpoints',
    'https://dbc-1.cloud.databricks.com/serving-endpoints/chat/completions',
  ],
  ['OpenRouter', 'https://openrouter.ai/api/v1', 'https://openrouter.ai/api/v1/chat/completions'],
  ['Groq', 'https://api.groq.com/openai/v1', 'https://api.groq.com/openai/v1/chat/completions'],
  ['Fireworks', 'https://api.fireworks.ai/inference/v1', 'https://api.fireworks.ai/inference/v1/chat/completions'],
  ['Mistral', 'https://api.mistral.ai/v1', 'https://api.mistral.ai/v1/chat/completions'],
  ['Cohere', 'https://api.cohere.ai/compatibility/v1', 'https://api.cohere.ai/compatibility/v1/chat/completions'],
  ['Open WebUI', 'http://localhost:3000/api', 'http://localhost:3000/api/chat/completions'],
  ['Ollama', 'http://localhost:11434/v1/', 'http://localhost:11434/v1/chat/completions'],
  ['vLLM', 'http://localhost:8000/v1', 'http://localhost:8000/v1/chat/completions'],
  ['vLLM, as it prints its address', 'http://0.0.0.0:8000', 'http://0.0.0.0:8000/v1/chat/completions'],
  ['LiteLLM, as its docs write it', 'http://0.0.0.0:4000/', 'http://0.0.0.0:4000/v1/chat/completions'],
];

function urlOf(baseUrl: string, endpoint: string): string {
  const { origin, path } = parseBaseUrl(baseUrl);
  return origin + path(endpoint);
}

describe('parseBaseUrl', () => {
  it('asks each documented server where the SDK asks it', () => {
    for (const [server, baseUrl, url] of CHAT) assert.equal(urlOf(baseUrl, '/v1/chat/completions'), url, server);
  });

  it('joins every endpoint below /v1 to the base, whatever its prefix', () => {
    for (const endpoint of ['completions', 'embeddings', 'responses', 'moderations', 'models', 'audio/speech']) {
      assert.equal(urlOf('https://h/v1beta/openai', `/v1/${endpoint}`), `https://h/v1beta/openai/${endpoint}`);
    }
  });

  it('ignores slashes at the end of the base, also before a query', () => {
    for (const baseUrl of ['http://h/proxy', 'http://h/proxy/', 'http://h/proxy//']) {
      assert.equal(urlOf(baseUrl, '/v1/embeddings'), 'http://h/proxy/embeddings');
    }
    assert.equal(urlOf('http://h/d/?api-version=x&a=%2F', '/v1/embeddings'), 'http://h/d/embeddings?api-version=x&a=%2F');
    assert.equal(urlOf('http://h?key=1', '/v1/embeddings'), 'http://h/v1/embeddings?key=1');
  });

  it('takes endpoints outside /v1 from the root of the server, with the query of the base', () => {
    assert.equal(urlOf('http://h:8000/v1', '/rerank'), 'http://h:8000/rerank');
    assert.equal(urlOf('http://h:8000', '/score'), 'http://h:8000/score');
    assert.equal(urlOf('http://h:8000/v1/?tenant=a', '/tokenize'), 'http://h:8000/tokenize?tenant=a');
    assert.equal(urlOf('http://h/v2', '/v2/rerank'), 'http://h/v2/rerank');
    assert.equal(urlOf('http://h/v1', '/v10/rerank'), 'http://h/v10/rerank');
  });

  it('keeps user and password out of the URL', () => {
    const { origin, userinfo } = parseBaseUrl('https://me:pass%21@h:8443/v1');
    assert.deepEqual([origin, userinfo], ['https://h:8443', 'me:pass!']);
    assert.equal(parseBaseUrl('https://h/v1').userinfo, null);
  });

  it('refuses what is no http(s) URL, without repeating it', () => {
    for (const text of ['me:hidden@h/v1', 'ftp://me:hidden@h/v1', '//me:hidden@h', '']) {
      assert.throws(() => parseBaseUrl(text), { message: /^the base URL of an upstream (?!.*hidden)/ });
    }
  });
});

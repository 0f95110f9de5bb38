import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createListCheck, readModelList } from '../../src/domain/model-list.ts';

const listOf = (data: readonly object[], more: object = {}) => readModelList(JSON.stringify({ object: 'list', data, ...more }));
const vllm = { id: 'Qwen/Qwen3-8B', object: 'model', owned_by: 'vllm' };

describe('readModelList(text)', () => {
  it('reads names and aliases, once each', () => {
    assert.deepEqual(listOf([vllm, { id: 'mistral-large-2411', aliases: ['mistral-large-latest', 7] }, vllm, { id: 5 }, {}]), {
      names: ['Qwen/Qwen3-8B', 'mistral-large-2411', 'mistral-large-latest'],
      isComplete: true,
    });
    assert.deepEqual(readModelList('[{"id":"a"}]'), { names: ['a'], isComplete: true });
  });

  it('answers null for what is no list of models', () => {
    for (const text of ['', '<html>', 'null', '7', '{}', '{"data":{}}', '{"data":[]}', '{"data":["a",null]}', '{"data":[{"id":""}]}'])
      assert.equal(readModelList(text), null, text);
  });

  it('takes a list for incomplete where the server answers requests for other models too', () => {
    const cases: [why: string, data: object[], more?: object][] = [
      ...['llamacpp', 'sglang', 'koboldcpp', 'tabbyAPI', 'organization_owner', 'llama-swap'].map((owned_by): [string, object[]] => [
        owned_by,
        [vllm, { id: 'm', owned_by }],
      ]),
      ['a pattern', [vllm, { id: 'openai/*' }]],
      ['TGI', [{ id: 'meta/llama', owned_by: 'meta/llama', created: 0 }]],
      ['LiteLLM', [{ id: 'a', created: 1_677_610_602, owned_by: 'openai' }]],
      ['Azure', [{ id: 'gpt-4o-2024-05-13', lifecycle_status: 'generally-available' }]],
      ['one page of several', [{ id: 'claude' }], { has_more: true }],
    ];
    for (const [why, data, more] of cases) assert.equal(listOf(data, more)?.isComplete, false, why);
    // OpenAI's own list holds the model whose time LiteLLM gives to all.
    const openAi = [
      { id: 'gpt-3.5-turbo', created: 1_677_610_602, owned_by: 'openai' },
      { id: 'gpt-4o', created: 1_715_367_049, owned_by: 'system' },
    ];
    assert.equal(listOf(openAi, { has_more: false })?.isComplete, true);
  });
});

describe('createListCheck(names)', () => {
  it('knows a model by every name that its server takes', () => {
    const has = createListCheck([
      'Qwen/Qwen3-8B',
      'llama3.2:latest',
      'gemma3:4b',
      'models/gemini-2.5-flash',
      'meta/llama-3:free',
      'org/model',
    ]);
    for (const model of [
      'Qwen/Qwen3-8B',
      'qwen/qwen3-8b',
      'llama3.2',
      'llama3.2:latest',
      'gemma3:4b',
      'gemini-2.5-flash',
      'models/gemini-2.5-flash',
      'org/model:nitro',
    ])
      assert.equal(has(model), true, model);
    for (const model of ['Qwen3-8B', 'llama3.2:1b', 'gemma3', 'gemma3:latest', 'org', 'model', ':', ''])
      assert.equal(has(model), false, model);
  });
});

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { tellModels } from '../../src/processes/tell-models.ts';

it('workers tell the models that are named, their aliases, and those listed that a pattern takes', async () => {
  const told: Record<string, readonly string[]> = {};
  const lists = { of: async (upstream: string) => (upstream === 'silent' ? null : ['Qwen/Qwen3-8B', 'Qwen/Qwen3-32B', 'gemma']) };
  await tellModels(
    [
      { name: 'every', models: null, aliases: { 'gpt-4o-mini': 'gemma' } },
      { name: 'some', models: ['Qwen/*', 'special'], aliases: {} },
      { name: 'one', models: ['gpt-5'], aliases: {} },
      { name: 'silent', models: null, aliases: {} },
    ],
    { lists, models: { tell: async (name, models) => void (told[name] = models) } },
  );
  assert.deepEqual(told, {
    every: ['Qwen/Qwen3-32B', 'Qwen/Qwen3-8B', 'gemma', 'gpt-4o-mini'],
    some: ['Qwen/Qwen3-32B', 'Qwen/Qwen3-8B', 'special'],
    one: ['gpt-5'],
    silent: [],
  });
});

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { UpstreamFacts } from '../../src/domain/upstream-facts.ts';
import { tellModels } from '../../src/processes/tell-models.ts';

it('workers tell the models that are named, their aliases, and those listed that a pattern takes', async () => {
  const told: Record<string, readonly string[]> = {};
  const facts: UpstreamFacts[] = [];
  const lists = { of: async (upstream: string) => (upstream === 'silent' ? null : ['Qwen/Qwen3-8B', 'Qwen/Qwen3-32B', 'gemma']) };
  await tellModels(
    [
      { name: 'every', models: null, aliases: { 'gpt-4o-mini': 'gemma' }, requestsPerMinute: null },
      { name: 'some', models: ['Qwen/*', 'special'], aliases: {}, requestsPerMinute: 60 },
      { name: 'one', models: ['gpt-5'], aliases: {}, requestsPerMinute: null },
      { name: 'silent', models: null, aliases: {}, requestsPerMinute: null },
    ],
    {
      lists,
      models: {
        async tell(upstream, models) {
          facts.push(upstream);
          told[upstream.name] = models;
        },
      },
      answersPerSecond: (name) => (name === 'some' ? 2.5 : null),
    },
  );
  assert.deepEqual(told, {
    every: ['Qwen/Qwen3-32B', 'Qwen/Qwen3-8B', 'gemma', 'gpt-4o-mini'],
    some: ['Qwen/Qwen3-32B', 'Qwen/Qwen3-8B', 'special'],
    one: ['gpt-5'],
    silent: [],
  });
  const listed = ['Qwen/Qwen3-8B', 'Qwen/Qwen3-32B', 'gemma'];
  assert.deepEqual(facts.slice(0, 2), [
    { name: 'every', place: 0, models: null, aliases: { 'gpt-4o-mini': 'gemma' }, listed, requestsPerMinute: null, answersPerSecond: null },
    { name: 'some', place: 1, models: ['Qwen/*', 'special'], aliases: {}, listed, requestsPerMinute: 60, answersPerSecond: 2.5 },
  ]);
  assert.equal(facts[3]?.listed, null);
});

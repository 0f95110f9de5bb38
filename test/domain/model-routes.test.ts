import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createModelRoutes, type ModelRoutes } from '../../src/domain/model-routes.ts';

const routes = createModelRoutes([
  { name: 'small', models: ['tiny', 'llama-*'] },
  { name: 'large', models: ['llama-70b', 'tiny', 'llama-3*'] },
  { name: 'rest', models: null },
]);
const upstreamOf = (of: ModelRoutes, model: string | null) => of.route(model)?.upstream ?? null;

describe('createModelRoutes', () => {
  it('finds the upstream that names the model, the first of several', () => {
    assert.equal(upstreamOf(routes, 'tiny'), 'small');
    assert.deepEqual(routes.names, ['small', 'large', 'rest']);
    assert.deepEqual(routes.models, ['tiny', 'llama-*', 'llama-70b', 'llama-3*']);
  });

  it('prefers an exact name to a pattern and a longer pattern to a shorter one', () => {
    assert.equal(upstreamOf(routes, 'llama-70b'), 'large');
    assert.equal(upstreamOf(routes, 'llama-3-8b'), 'large');
    assert.equal(upstreamOf(routes, 'llama-2'), 'small');
  });

  it('says whether the operator named the model itself', () => {
    assert.deepEqual(
      ['tiny', 'llama-2', 'something', null].map((model) => routes.route(model)?.isNamed),
      [true, false, false, false],
    );
    const aliased = createModelRoutes([{ name: 'gpu', models: ['qwen-*', 'claude-*'], aliases: { 'claude-*': 'Qwen/Qwen3-8B' } }]);
    assert.deepEqual([aliased.route('qwen-3')?.isNamed, aliased.route('claude-3')?.isNamed], [false, true]);
  });

  it('takes the other characters of a pattern literally', () => {
    const dotted = createModelRoutes([{ name: 'a', models: ['gpt-4.1*', '(x)*'] }]);
    assert.deepEqual(
      ['gpt-4.1-mini', '(x)y', 'gpt-4x1-mini'].map((model) => upstreamOf(dotted, model)),
      ['a', 'a', null],
    );
  });

  it('routes an alias to the upstream that has it, before the upstream that names no model', () => {
    const aliased = createModelRoutes([
      { name: 'rest', models: null },
      { name: 'gpu', models: null, aliases: { 'gpt-4o': 'Qwen/Qwen3-8B', 'claude-*': 'Qwen/Qwen3-8B' } },
    ]);
    assert.deepEqual(
      ['gpt-4o', 'claude-3', 'gpt-4'].map((model) => upstreamOf(aliased, model)),
      ['gpu', 'gpu', 'rest'],
    );
  });

  it('gives what nobody names, and lines without a model, to the upstream that serves every model', () => {
    const all = createModelRoutes([
      { name: 'a', models: ['x'] },
      { name: 'all', models: ['*'] },
    ]);
    for (const [some, every] of [
      [routes, 'rest'],
      [all, 'all'],
    ] as const)
      assert.deepEqual([upstreamOf(some, 'something'), upstreamOf(some, null)], [every, every]);
  });

  it('answers null for a model that nobody serves', () => {
    const named = createModelRoutes([{ name: 'a', models: ['known'] }]);
    assert.deepEqual([named.route('lost'), named.route(null)], [null, null]);
  });

  it('matches every place of a star, and none twice', () => {
    const globs = createModelRoutes([{ name: 'a', models: ['a*b*c', 'x*x', '*mid*', '**z'] }]);
    for (const model of ['abc', 'a-b-c', 'aXbYbZc', 'xx', 'x-x', 'mid', 'amidst', 'z', 'aaz'])
      assert.equal(upstreamOf(globs, model), 'a', model);
    for (const model of ['ac', 'acb', 'ab', 'x', 'mi', 'zq', '']) assert.equal(upstreamOf(globs, model), null, model);
  });

  it('matches patterns of several stars against long names in linear time', () => {
    const globs = createModelRoutes([{ name: 'a', models: ['*llama*instruct*q4*'] }]);
    const startedMs = performance.now();
    assert.equal(globs.route('llama'.repeat(2_000_000)), null);
    // A backtracking match of this name takes years.
    assert.ok(performance.now() - startedMs < 5000);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createModelRoutes } from '../../src/upstream/routes.ts';

const routes = createModelRoutes([
  { name: 'small', models: ['tiny', 'llama-*'] },
  { name: 'large', models: ['llama-70b', 'llama-3*', '*-embed'] },
  { name: 'rest', models: null },
]);

describe('createModelRoutes', () => {
  it('finds the upstream that names the model', () => {
    assert.deepEqual(routes.route(['tiny']), { upstream: 'small' });
    assert.deepEqual(routes.names, ['small', 'large', 'rest']);
  });

  it('prefers an exact name to a pattern and a longer pattern to a shorter one', () => {
    assert.deepEqual(routes.route(['llama-70b']), { upstream: 'large' });
    assert.deepEqual(routes.route(['llama-3-8b']), { upstream: 'large' });
    assert.deepEqual(routes.route(['llama-2']), { upstream: 'small' });
  });

  it('takes the other characters of a pattern literally', () => {
    const dotted = createModelRoutes([{ name: 'a', models: ['gpt-4.1*', '(x)*'] }]);
    assert.deepEqual(dotted.route(['gpt-4.1-mini', '(x)y']), { upstream: 'a' });
    assert.deepEqual(dotted.route(['gpt-4x1-mini']), { unknownModel: 'gpt-4x1-mini' });
  });

  it('routes an alias to the upstream that has it, before the upstream that names no model', () => {
    const aliased = createModelRoutes([
      { name: 'rest', models: null },
      { name: 'gpu', models: null, aliases: { 'gpt-4o': 'Qwen/Qwen3-8B', 'claude-*': 'Qwen/Qwen3-8B' } },
    ]);
    assert.deepEqual(aliased.route(['gpt-4o']), { upstream: 'gpu' });
    assert.deepEqual(aliased.route(['claude-3']), { upstream: 'gpu' });
    assert.deepEqual(aliased.route(['gpt-4']), { upstream: 'rest' });
  });

  it('gives what nobody names to the upstream that names no model', () => {
    assert.deepEqual(routes.route(['something']), { upstream: 'rest' });
    assert.deepEqual(routes.route([]), { upstream: 'rest' });
  });

  it('names the first model that nobody serves', () => {
    const named = createModelRoutes([{ name: 'a', models: ['known'] }]);
    assert.deepEqual(named.route(['known', 'lost', 'gone']), { unknownModel: 'lost' });
  });

  it('answers mismatched when no single upstream serves all models', () => {
    assert.equal(routes.route(['tiny', 'llama-70b']), 'mismatched');
    assert.deepEqual(routes.route(['tiny', 'llama-2']), { upstream: 'small' });
  });

  it('matches every place of a star, and none twice', () => {
    const globs = createModelRoutes([{ name: 'a', models: ['a*b*c', 'x*x', '*mid*', '**z'] }]);
    for (const model of ['abc', 'a-b-c', 'aXbYbZc', 'xx', 'x-x', 'mid', 'amidst', 'z', 'aaz'])
      assert.deepEqual(globs.route([model]), { upstream: 'a' }, model);
    for (const model of ['ac', 'acb', 'ab', 'x', 'mi', 'zq', '']) assert.deepEqual(globs.route([model]), { unknownModel: model }, model);
  });

  it('matches patterns of several stars against long names in linear time', () => {
    const globs = createModelRoutes([{ name: 'a', models: ['*llama*instruct*q4*'] }]);
    const startedMs = performance.now();
    assert.equal('unknownModel' in Object(globs.route(['llama'.repeat(2_000_000)])), true);
    // A backtracking match of this name takes years.
    assert.ok(performance.now() - startedMs < 5000);
  });
});

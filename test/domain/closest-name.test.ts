import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { closestName } from '../../src/domain/closest-name.ts';

describe('closestName(name, candidates)', () => {
  it('finds the candidate that needs the fewest changes', () => {
    const models = ['gpt-4o', 'gpt-4o-mini', 'Qwen/Qwen3-8B'];
    const cases: [name: string, meant: string | null][] = [
      ['gpt-4o-mni', 'gpt-4o-mini'],
      ['gpt4o', 'gpt-4o'],
      ['GPT-4O', 'gpt-4o'],
      ['qwen/qwen3-8b', 'Qwen/Qwen3-8B'],
      ['claude', null],
      ['', null],
    ];
    for (const [name, meant] of cases) assert.equal(closestName(name, models), meant, name);
  });

  it('compares long names in little time', () => {
    const candidates = Array.from({ length: 500 }, (_, at) => `${'x'.repeat(4000)}${at}`);
    const startedMs = performance.now();
    assert.equal(closestName('y'.repeat(4000), candidates), null);
    assert.ok(performance.now() - startedMs < 2000);
  });
});

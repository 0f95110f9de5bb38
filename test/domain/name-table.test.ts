import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createNameTable } from '../../src/domain/name-table.ts';

describe('createNameTable(entries)', () => {
  it('prefers an exact name to a pattern, and a longer pattern to a shorter one', () => {
    const of = createNameTable([
      ['gpt-*', 1],
      ['gpt-4*', 2],
      ['gpt-4o', 3],
      ['gpt-4o', 4],
    ]);
    assert.deepEqual(['gpt-3', 'gpt-4', 'gpt-4o', 'llama'].map(of), [1, 2, 3, null]);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createPartCutter, type InputPart } from '../../src/domain/cut-parts.ts';

/** Parts of lines with these lengths, which follow each other with a line break between. */
function cut(lengths: readonly number[], limits: Partial<Parameters<typeof createPartCutter>[0]>, embeddingInputs = 0): InputPart[] {
  const cutter = createPartCutter({ maxRequestsPerBatch: 100, maxBatchInputBytes: 1000, maxEmbeddingInputs: 1000, ...limits });
  const parts = new Set<InputPart>();
  let offset = 0;
  for (const [at, length] of lengths.entries()) {
    parts.add(cutter.add({ line: at + 1, offset, length, embeddingInputs }));
    offset += length + 1;
  }
  return [...parts];
}

describe('createPartCutter', () => {
  it('cuts at the limit of requests, of bytes and of embedding inputs', () => {
    const ten = Array.from({ length: 10 }, () => 99);
    assert.deepEqual(
      cut(ten, { maxRequestsPerBatch: 4 }).map(({ requests }) => requests),
      [4, 4, 2],
    );
    // Three lines have 299 bytes with the breaks between them.
    assert.deepEqual(
      cut(ten, { maxBatchInputBytes: 299 }).map(({ start, end }) => [start, end]),
      [
        [0, 299],
        [300, 599],
        [600, 899],
        [900, 999],
      ],
    );
    assert.deepEqual(
      cut(ten, { maxBatchInputBytes: 298 }).map(({ requests }) => requests),
      [2, 2, 2, 2, 2],
    );
    assert.deepEqual(
      cut(ten, { maxEmbeddingInputs: 6 }, 2).map(({ requests, firstLine }) => [requests, firstLine]),
      [
        [3, 1],
        [3, 4],
        [3, 7],
        [1, 10],
      ],
    );
  });

  it('makes a line that fits nowhere a part of its own', () => {
    assert.deepEqual(
      cut([10, 5000, 10], {}).map(({ requests }) => requests),
      [1, 1, 1],
    );
  });
});

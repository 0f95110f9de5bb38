import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createPlanner, linesOfSlice, type PlannedLine, type ShardPlan } from '../../src/domain/plan.ts';

function cut(lines: readonly PlannedLine[], limits?: { maxLines: number; maxBytes: number }): ShardPlan[] {
  const planner = createPlanner(limits);
  return [...lines.map((line) => planner.add(line)), planner.end()].filter((plan) => plan !== null);
}
const numbered = (...lines: number[]): PlannedLine[] =>
  lines.map((line) => ({ line, offset: (line - 1) * 10, length: 9, customId: `id-${line}` }));
const ranges = (plans: readonly ShardPlan[]) =>
  plans.map(({ shard, firstLine, lastLine, requests }) => [shard, firstLine, lastLine, requests]);

describe('createPlanner()', () => {
  it('cuts after 1000 lines by default', () => {
    const lines = numbered(...Array.from({ length: 2001 }, (_, at) => at + 1));
    assert.deepEqual(ranges(cut(lines)), [
      [0, 1, 1000, 1000],
      [1, 1001, 2000, 1000],
      [2, 2001, 2001, 1],
    ]);
  });

  it('cuts a million lines into a thousand shards', () => {
    const planner = createPlanner();
    let shards = 0;
    for (let line = 1; line <= 1_000_000; line += 1)
      if (planner.add({ line, offset: line * 100, length: 99, customId: 'x' }) !== null) shards += 1;
    assert.equal(planner.end()?.shard, 999);
    assert.equal(shards, 999);
  });

  it('answers nothing for an input without requests', () => {
    assert.deepEqual(cut([]), []);
  });

  it('counts blank lines inside a shard and leaves out those around it', () => {
    assert.deepEqual(ranges(cut(numbered(3, 5, 6, 900), { maxLines: 4, maxBytes: 1e6 })), [
      [0, 3, 6, 3],
      [1, 900, 900, 1],
    ]);
    assert.deepEqual(ranges(cut(numbered(1, 5), { maxLines: 4, maxBytes: 1e6 })), [
      [0, 1, 1, 1],
      [1, 5, 5, 1],
    ]);
  });

  it('says which upstreams serve the lines of a shard, where it is not the first alone', () => {
    const of = (line: number, upstream: number): PlannedLine => ({
      line,
      offset: line * 10,
      length: 9,
      customId: `id-${line}`,
      ...(upstream > 0 ? { upstream } : {}),
    });
    const lines = [of(1, 0), of(2, 0), of(3, 2), of(4, 0), of(5, 1), of(6, 1)];
    const plans = cut(lines, { maxLines: 2, maxBytes: 1e6 });
    assert.deepEqual(
      plans.map(({ upstreams }) => upstreams),
      [undefined, [0, 2], [1]],
    );
    const [, mixed] = plans;
    assert.ok(mixed);
    const numbers = (slice: Parameters<typeof linesOfSlice>[1]) => linesOfSlice(mixed, slice).map(({ line }) => line);
    assert.deepEqual(numbers({ firstLine: 3, lastLine: 4 }), [3, 4]);
    assert.deepEqual(numbers({ firstLine: 3, lastLine: 4, mixed: { upstream: 2 } }), [3]);
    assert.deepEqual(numbers({ firstLine: 3, lastLine: 4, mixed: { upstream: 0 } }), [4]);
  });

  it('gives a line of more bytes than a shard may have a shard of its own', () => {
    const lines = [
      { line: 1, offset: 0, length: 5, customId: 'a' },
      { line: 2, offset: 6, length: 500, customId: 'b' },
      { line: 3, offset: 507, length: 5, customId: 'c' },
    ];
    assert.deepEqual(ranges(cut(lines, { maxLines: 10, maxBytes: 100 })), [
      [0, 1, 1, 1],
      [1, 2, 2, 1],
      [2, 3, 3, 1],
    ]);
  });

  it('keeps every line once, in order, within the bounds', () => {
    const gaps = fc.array(fc.record({ blanks: fc.nat({ max: 3 }), length: fc.integer({ min: 2, max: 60 }) }));
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 10, max: 100 }), (steps, maxLines, maxBytes) => {
        let [line, offset] = [0, 0];
        const lines = steps.map(({ blanks, length }) => {
          line += blanks + 1;
          offset += blanks;
          const planned = { line, offset, length, customId: `id-${line}` };
          offset += length + 1;
          return planned;
        });
        const plans = cut(lines, { maxLines, maxBytes });
        assert.deepEqual(
          plans.flatMap((plan) => plan.lines),
          lines,
        );
        plans.forEach((plan, at) => {
          const [first, last] = [plan.lines[0], plan.lines.at(-1)];
          assert.ok(first && last);
          assert.deepEqual([plan.shard, plan.firstLine, plan.lastLine, plan.requests], [at, first.line, last.line, plan.lines.length]);
          assert.ok(plan.lastLine - plan.firstLine < maxLines);
          assert.ok(plan.requests === 1 || last.offset + last.length - first.offset <= maxBytes);
        });
      }),
    );
  });
});

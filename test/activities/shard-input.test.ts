import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { createShardInputs } from '../../activities/run-requests/shard-input.ts';
import type { ByteRange } from '../../src/storage/object-store.ts';

const TEXT = Buffer.from('one\ntwo\nthree\n');
const PLAN = {
  shard: 0,
  firstLine: 1,
  lastLine: 3,
  requests: 3,
  lines: [
    { line: 1, offset: 0, length: 3 },
    { line: 2, offset: 4, length: 3 },
    { line: 3, offset: 8, length: 5 },
  ],
};

/** A reader of single lines, and the ranges of the input that it read. */
function readerOfOne() {
  const ranges: string[] = [];
  const inputs = createShardInputs({
    files: {
      async openContent(_: string, __: string, range?: ByteRange) {
        const { start, end } = range ?? { start: 0, end: TEXT.length - 1 };
        ranges.push(`${start}-${end}`);
        return { size: TEXT.length, body: Readable.from([TEXT.subarray(start, end + 1)]) };
      },
    },
    pieces: { getPlanShard: async () => PLAN },
  });
  const input = { tenant: 't', batchId: 'batch', inputFileId: 'file' };
  const read = async (index: number) => {
    const line = PLAN.lines[index];
    assert.ok(line !== undefined);
    return (await inputs.reader(input, PLAN, [line])(line)).toString();
  };
  return { ranges, read };
}

describe('createShardInputs', () => {
  it('reads one line by itself, and with the second one the shard', async () => {
    const { ranges, read } = readerOfOne();
    assert.equal(await read(0), 'one');
    assert.deepEqual(ranges, ['0-2']);
    assert.deepEqual([await read(1), await read(0), await read(1)], ['two', 'one', 'two']);
    assert.deepEqual(ranges, ['0-2', '0-12']);
  });
});

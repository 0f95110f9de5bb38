import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { createShardInputs } from '../../activities/run-requests/shard-input.ts';
import { createReadAhead, openSliceInput } from '../../activities/run-requests/slice-input.ts';
import type { PlannedLine, ShardPlan } from '../../src/domain/plan.ts';
import type { ByteRange } from '../../src/storage/object-store.ts';
import type { RunRequestsInput } from '../../workflows/contract.ts';

const MIB = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

/** A file store whose files hold the number of each byte's 1,024, and that counts what is asked of it. */
function countingFiles({ fails = () => false }: { fails?: () => boolean } = {}) {
  const asked = { ranges: [] as string[], bytes: 0 };
  return {
    asked,
    async openContent(_: string, __: string, range?: ByteRange) {
      assert.ok(range !== undefined);
      const { start, end } = range;
      asked.ranges.push(`${start}-${end}`);
      asked.bytes += end + 1 - start;
      if (fails()) throw new Error('the bucket is away');
      return { size: end + 1, body: Readable.from(chunks(start, end + 1)) };
    },
  };
}

const byteAt = (offset: number) => (offset >> 10) & 0xff;

function* chunks(start: number, end: number): Generator<Buffer> {
  for (let at = start; at < end; at += CHUNK_BYTES) {
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, end - at));
    for (let each = 0; each < chunk.length; each++) chunk[each] = byteAt(at + each);
    yield chunk;
  }
}

/** Lines of equal length, one after the other, with a line break between them; every `stride`th is kept. */
function linesOf(count: number, length: number, { stride = 1 } = {}): PlannedLine[] {
  return Array.from({ length: count }, (_, at) => ({
    line: at * stride + 1,
    offset: at * stride * (length + 1),
    length,
    customId: `id-${at}`,
  }));
}

function planOf(lines: PlannedLine[]): ShardPlan {
  return { shard: 0, firstLine: 1, lastLine: lines.at(-1)?.line ?? 1, requests: lines.length, lines };
}

function slice(changes: Partial<RunRequestsInput>): RunRequestsInput {
  return {
    tenant: 't',
    batchId: 'batch',
    inputFileId: 'file',
    endpoint: '/v1/chat/completions',
    upstream: 'main',
    shard: 0,
    firstLine: 1,
    lastLine: 1,
    faults: 0,
    resumed: false,
    contested: false,
    expiresAtMs: 0,
    cancelGraceMs: 0,
    ...changes,
  };
}

function open(lines: readonly PlannedLine[], { files = countingFiles(), readAhead = createReadAhead(32 * MIB) } = {}) {
  return { asked: files.asked, ...openSliceInput(files, { tenant: 't', inputFileId: 'file' }, { lines, readAhead }) };
}

/** Reads the lines in order; answers the buffers behind them. */
async function readAll({ read }: Pick<ReturnType<typeof open>, 'read'>, lines: readonly PlannedLine[]): Promise<ArrayBufferLike[]> {
  const buffers: ArrayBufferLike[] = [];
  for (const line of lines) {
    const bytes = await read(line);
    assert.equal(bytes.length, line.length);
    for (const at of [0, line.length - 1]) assert.equal(bytes[at], byteAt(line.offset + at), `byte ${at} of line ${line.line}`);
    buffers.push(bytes.buffer);
  }
  return buffers;
}

describe('createShardInputs', () => {
  it('reads what slices of four lines use and little more, from twenty shards of 8 MiB in turns', async () => {
    const lines = linesOf(1000, 8300);
    const files = countingFiles();
    const inputs = createShardInputs({ files, pieces: { getPlanShard: async () => planOf(lines) } });
    let used = 0;
    for (let first = 1; first <= 40; first += 4) {
      for (let shard = 0; shard < 20; shard++) {
        const input = slice({ shard, firstLine: first, lastLine: first + 3 });
        const own = await inputs.lines(input);
        assert.equal(own.length, 4);
        using content = inputs.open(input, own);
        const behind = await readAll(content, own);
        assert.ok(Math.max(...behind.map(({ byteLength }) => byteLength)) <= 8300, 'a line holds more than its own bytes');
        used += own.reduce((sum, { length }) => sum + length, 0);
      }
    }
    assert.ok(files.asked.bytes <= 1.01 * used, `${files.asked.bytes} bytes were read and ${used} used`);
    assert.equal(files.asked.ranges.length, 200);
  });

  it('keeps the plans of a hundred batches with four shards of a thousand lines', async () => {
    let loads = 0;
    const plan = planOf(linesOf(1000, 400));
    const inputs = createShardInputs({ files: countingFiles(), pieces: { getPlanShard: async () => ((loads += 1), plan) } });
    for (const _ of ['first', 'second']) {
      for (let batch = 0; batch < 100; batch++) {
        for (let shard = 0; shard < 4; shard++) await inputs.lines(slice({ batchId: `batch-${batch}`, shard, firstLine: 7, lastLine: 9 }));
      }
    }
    assert.equal(loads, 400);
  });

  it('answers the lines of one upstream of a mixed shard as they are planned', async () => {
    const customIds = ['a', '', 'lone \ud800', '__proto__', 'x'.repeat(512), '🌙'];
    const lines = linesOf(6, 100).map((line, at) => ({ ...line, customId: customIds[at] ?? '', ...(at % 2 === 0 ? {} : { upstream: 3 }) }));
    const inputs = createShardInputs({ files: countingFiles(), pieces: { getPlanShard: async () => planOf(lines) } });
    const own = await inputs.lines(slice({ firstLine: 2, lastLine: 5, mixed: { upstream: 3, lines: 2 } }));
    assert.deepEqual(own, [lines[1], lines[3]]);
    assert.deepEqual(await inputs.lines(slice({ firstLine: 1, lastLine: 6 })), lines);
  });

  it('loads a plan again that could not be loaded', async () => {
    let loads = 0;
    const getPlanShard = async () => ((loads += 1) === 1 ? null : planOf(linesOf(1, 10)));
    const inputs = createShardInputs({ files: countingFiles(), pieces: { getPlanShard } });
    await assert.rejects(inputs.lines(slice({})), /shard 0 has no plan/);
    assert.equal((await inputs.lines(slice({}))).length, 1);
  });
});

describe('openSliceInput', () => {
  for (const [what, lines] of [
    ['short lines', linesOf(1000, 400)],
    ['lines of 100 KB', linesOf(20, 100_000)],
    ['lines of 3 MB', linesOf(3, 3_000_000)],
    ['every second line of a mixed shard', linesOf(200, 5000, { stride: 2 })],
    ['every tenth line of a mixed shard', linesOf(50, 5000, { stride: 10 })],
    [
      'short lines around a long one',
      [
        ...linesOf(3, 400),
        { line: 9, offset: 5000, length: 2_000_000, customId: 'a' },
        { line: 10, offset: 2_100_000, length: 10, customId: 'b' },
      ],
    ],
  ] as const) {
    it(`reads at most twice the bytes of ${what}, in blocks of 256 KiB`, async () => {
      const content = open(lines);
      const behind = await readAll(content, lines);
      const used = lines.reduce((sum, { length }) => sum + length, 0);
      const longest = Math.max(...lines.map(({ length }) => length));
      assert.ok(content.asked.bytes <= 2 * used, `${content.asked.bytes} bytes were read and ${used} used`);
      for (const range of content.asked.ranges) {
        const [start = 0, end = 0] = range.split('-').map(Number);
        assert.ok(end + 1 - start <= Math.max(256 * 1024, longest), range);
      }
      assert.deepEqual(
        behind.map(({ byteLength }) => byteLength),
        lines.map(({ length }) => length),
      );
    });
  }

  it('reads each line on its own where no read-ahead is left, and reads no byte twice', async () => {
    const lines = linesOf(8, 1000);
    const readAhead = createReadAhead(10_000);
    assert.ok(readAhead.tryTake(5000));
    const content = open(lines, { readAhead });
    await readAll(content, lines.slice(0, 3));
    readAhead.giveBack(5000);
    await readAll(content, lines.slice(3));
    assert.equal(content.asked.bytes, 8000);
  });

  it('gives its read-ahead back when its lines are read, when it ends early, and when the bucket is away', async () => {
    const readAhead = createReadAhead(MIB);
    const isFree = () => {
      const free = readAhead.tryTake(MIB);
      if (free) readAhead.giveBack(MIB);
      return free;
    };
    const lines = linesOf(4, 1000);
    const whole = open(lines, { readAhead });
    await Promise.all([readAll(whole, lines.slice(0, 2)), readAll(whole, lines.slice(2))]);
    assert.ok(isFree(), 'all lines were read');

    const early = open(lines, { readAhead });
    await readAll(early, lines.slice(0, 1));
    assert.ok(!isFree());
    early[Symbol.dispose]();
    early[Symbol.dispose]();
    assert.ok(isFree(), 'the slice ended early');

    let isAway = true;
    const failed = open(lines, { files: countingFiles({ fails: () => isAway }), readAhead });
    await assert.rejects(readAll(failed, lines.slice(0, 1)), /away/);
    assert.ok(isFree(), 'the bucket was away');
    isAway = false;
    await readAll(failed, lines.slice(1));
  });
});

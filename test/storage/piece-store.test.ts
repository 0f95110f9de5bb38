import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { zeroUsage } from '../../src/domain/batch.ts';
import type { ShardPlan } from '../../src/domain/plan.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import type { LineResult, PieceEntry, ShardResultLines } from '../../src/domain/piece.ts';
import { createPieceStore, type PieceStore } from '../../src/storage/piece-store.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import { collect, newNonce, startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;
/** Here it only counts requests. */
let proxy: FaultProxy;
let pieces: PieceStore;

before(async () => {
  bucket = await startTestBucket();
  proxy = await startFaultProxy(bucket.minio.endpoint);
  pieces = createPieceStore({ store: bucket.connect({ endpoint: proxy.endpoint }), newNonce: () => newNonce(), parts: createPartPool(16) });
});
afterEach(() => {
  proxy.seen.length = 0;
});
after(async () => {
  await proxy[Symbol.asyncDispose]();
  await bucket[Symbol.asyncDispose]();
});

describe('PieceStore: pieces', () => {
  it('tells what its pieces hold in key order, and reads the lines in any order', async () => {
    const batchId = newNonce();
    const usage = { ...zeroUsage(), input_tokens: 3, total_tokens: 3 };
    const results = [3, 1, 2, 5].map((line): LineResult => ({
      ...lineResult(line),
      outcome: line === 2 ? 'failed' : 'completed',
      usage: line === 1 ? usage : null,
    }));
    await pieces.putPiece({ batchId, shard: 7, writer: '9-1-b', piece: 1 }, results.slice(2));
    await pieces.putPiece({ batchId, shard: 7, writer: '9-1-a', piece: 2 }, results.slice(1, 2));
    await pieces.putPiece({ batchId, shard: 7, writer: '9-1-a', piece: 1 }, results.slice(0, 1));
    await pieces.putPiece({ batchId, shard: 8, writer: '9-1-a', piece: 1 }, [lineResult(99)]);
    const entries = (await collect(pieces.listPieceEntries(batchId, 7))).flat();
    assert.deepEqual(
      entries.map(({ line, outcome, usage: used, key, length }) => [line, outcome, used, key, length]),
      [
        [3, 'completed', null, `work/${batchId}/shard-0007/9-1-a/0001`, results[0]?.resultLine.length],
        [1, 'completed', usage, `work/${batchId}/shard-0007/9-1-a/0002`, results[1]?.resultLine.length],
        [2, 'failed', null, `work/${batchId}/shard-0007/9-1-b/0001`, results[2]?.resultLine.length],
        [5, 'completed', null, `work/${batchId}/shard-0007/9-1-b/0001`, results[3]?.resultLine.length],
      ],
    );
    const byLine = entries.toSorted((a, b) => b.line - a.line);
    assert.deepEqual(
      await linesOf(byLine),
      [5, 3, 2, 1].map((line) => lineResult(line).resultLine.toString()),
    );
    assert.deepEqual(await linesOf([]), []);
  });

  it('is readable by people: the header, then the result lines', async () => {
    const batchId = newNonce();
    await pieces.putPiece({ batchId, shard: 0, writer: 'w', piece: 1 }, [lineResult(1), lineResult(2)]);
    const text = (await bucket.store.get(`work/${batchId}/shard-0000/w/0001`))?.body.toString() ?? '';
    assert.match(
      text,
      /^{"entries":\[{"line":1,"outcome":"completed","usage":null,"attempts":1,"milliseconds":1,"length":\d+},.*\n{"line":1.*\n{"line":2.*\n$/,
    );
  });

  it('reads a header of megabytes, and one short line of a large piece', async () => {
    const batchId = newNonce();
    const many = Array.from({ length: 20_000 }, (_, i) => lineResult(i + 1));
    const large = [lineResult(30_001, 9_000_000), lineResult(30_002, 100), lineResult(30_003, 9_000_000)];
    await pieces.putPiece({ batchId, shard: 0, writer: 'a', piece: 1 }, many);
    await pieces.putPiece({ batchId, shard: 0, writer: 'b', piece: 1 }, large);
    const entries = (await collect(pieces.listPieceEntries(batchId, 0))).flat();
    assert.equal(entries.length, 20_003);
    assert.deepEqual(
      await linesOf([entries[19_999], entries[0]]),
      [many[19_999], many[0]].map((result) => result?.resultLine.toString()),
    );
    assert.deepEqual(await linesOf([entries[20_001]]), [large[1]?.resultLine.toString()]);
  });

  it('reads each piece of a shard once when all its lines are wanted', async () => {
    const batchId = newNonce();
    const lines = Array.from({ length: 500 }, (_, i) => i + 1);
    // Dealt out like cards, so that neighbours in the shard lie in different pieces.
    for (let piece = 1; piece <= 20; piece += 1) {
      const mine = lines.filter((line) => line % 20 === piece - 1);
      await pieces.putPiece(
        { batchId, shard: 0, writer: 'w', piece },
        mine.map((line) => lineResult(line, 5000)),
      );
    }
    const entries = (await collect(pieces.listPieceEntries(batchId, 0))).flat();
    proxy.seen.length = 0;
    const found = await linesOf(entries.toSorted((a, b) => a.line - b.line));
    assert.deepEqual(
      found,
      lines.map((line) => lineResult(line, 5000).resultLine.toString()),
    );
    assert.equal(proxy.seen.length, 20);
  });

  it('keeps result lines from the listing to the reading, as many as it may, and reads the rest', async () => {
    const batchId = newNonce();
    const lines = Array.from({ length: 20 }, (_, i) => i + 1);
    for (const line of lines) await pieces.putPiece({ batchId, shard: 0, writer: 'w', piece: line }, [lineResult(line, 5000)]);
    const expected = lines.map((line) => lineResult(line, 5000).resultLine.toString());
    for (const [keepBytes, read] of [
      [1_000_000, 0],
      [30_000, 15],
      [0, 20],
    ] as const) {
      const entries = (await collect(pieces.listPieceEntries(batchId, 0, { keepBytes }))).flat();
      proxy.seen.length = 0;
      assert.deepEqual(await linesOf(entries), expected);
      assert.equal(proxy.seen.length, read, `${keepBytes} bytes kept`);
    }
  });

  it('keeps few lines in memory when they are many bytes', async () => {
    const batchId = newNonce();
    for (let piece = 1; piece <= 10; piece += 1) {
      await pieces.putPiece({ batchId, shard: 0, writer: 'w', piece }, [lineResult(piece, 10_000_000)]);
    }
    const entries = (await collect(pieces.listPieceEntries(batchId, 0))).flat();
    proxy.seen.length = 0;
    const readSoFar: number[][] = [];
    for await (const lines of pieces.readResultLines(entries)) readSoFar.push([proxy.seen.length, lines.length]);
    assert.deepEqual(
      readSoFar,
      [2, 4, 6, 8, 10].map((reads) => [reads, 2]),
    );
  });

  it('does not take half a piece for a line', async () => {
    const batchId = newNonce();
    const key = `work/${batchId}/shard-0000/w/0001`;
    await pieces.putPiece({ batchId, shard: 0, writer: 'w', piece: 1 }, [lineResult(1), lineResult(2)]);
    const entries = (await collect(pieces.listPieceEntries(batchId, 0))).flat();
    const found = await bucket.store.get(key);
    await bucket.store.put(key, found?.body.subarray(0, -9) ?? Buffer.alloc(0));
    await assert.rejects(linesOf(entries), /not there/);
    await bucket.store.put(key, Buffer.from('no header'));
    await assert.rejects(collect(pieces.listPieceEntries(batchId, 0)), /not a piece/);
  });
});

describe('PieceStore: shard objects and shard results', () => {
  it('writes lines with line breaks, answers the bytes, and null when there is no line', async () => {
    const batchId = newNonce();
    const at = { batchId, shard: 1, nonce: 'n', role: 'output' as const };
    const written = await pieces.putShardObject(at, linesFrom(3, 10));
    assert.deepEqual(written, { key: `work/${batchId}/closed/shard-0001-n-output`, bytes: 33 });
    assert.ok(written !== null);
    assert.equal(await shardObject(written), `${'x'.repeat(10)}\n`.repeat(3));
    assert.equal(await pieces.putShardObject({ ...at, role: 'error' }, linesFrom(0, 10)), null);
  });

  it('writes 20 MB in parts', async () => {
    const at = { batchId: newNonce(), shard: 1, nonce: 'n', role: 'output' as const };
    const written = await pieces.putShardObject(at, linesFrom(200, 100_000));
    assert.equal(written?.bytes, 200 * 100_001);
    assert.equal((await bucket.store.stat(written.key))?.size, written.bytes);
    assert.deepEqual(await collect(bucket.store.list('uploads/')), []);
  });

  it('leaves nothing when the lines cannot be read', async () => {
    const at = { batchId: newNonce(), shard: 1, nonce: 'n', role: 'output' as const };
    async function* broken() {
      yield* linesFrom(100, 100_000);
      throw new Error('a piece is gone');
    }
    await assert.rejects(pieces.putShardObject(at, broken()), /a piece is gone/);
    assert.deepEqual(await collect(bucket.store.list(`work/${at.batchId}/`)), []);
    assert.deepEqual(await collect(bucket.store.list('uploads/')), []);
  });

  it('keeps the first shard result and shows it to whoever comes second', async () => {
    const batchId = newNonce();
    const answers = await Promise.all([1, 2, 3].map((completed) => pieces.createShardResult(batchId, shardResult(4, completed))));
    const standing = await pieces.getShardResult(batchId, 4);
    assert.ok(standing);
    assert.deepEqual(answers, [standing, standing, standing]);
    assert.equal(await pieces.getShardResult(batchId, 5), null);
  });

  it('lists shard results by number', async () => {
    const batchId = newNonce();
    const shards = [0, 7, 999, 9_999, 10_000, 12_345];
    for (const shard of shards.toReversed()) await pieces.createShardResult(batchId, shardResult(shard, 1));
    assert.deepEqual(
      (await pieces.listShardResults(batchId)).map(({ shard }) => shard),
      shards,
    );
    assert.deepEqual(await pieces.listShardResults(newNonce()), []);
  });
});

describe('PieceStore: plan and publication', () => {
  it('gives back the plan, whose first head stands', async () => {
    const batchId = newNonce();
    const plan: ShardPlan = {
      shard: 0,
      firstLine: 1,
      lastLine: 2,
      requests: 2,
      lines: [
        { line: 1, offset: 0, length: 10, customId: 'a' },
        { line: 2, offset: 11, length: 9, customId: 'b' },
      ],
    };
    await pieces.putPlanShard({ batchId, nonce: 'a' }, plan);
    await pieces.putPlanShard({ batchId, nonce: 'b' }, { ...plan, lastLine: 1 });
    assert.equal(await pieces.getPlanShard(batchId, 0), null, 'no head names either');
    assert.equal(await pieces.getPlanHead(batchId), null);
    const { lines: _, ...range } = plan;
    const head = {
      verdict: 'accepted' as const,
      models: [null],
      total: 2,
      model: null,
      upstreams: ['u'],
      nonces: [{ firstShard: 0, nonce: 'a' }],
      shards: [range],
    };
    assert.deepEqual(await pieces.createPlanHead(batchId, head), head);
    assert.deepEqual(await pieces.createPlanHead(batchId, { ...head, nonces: [{ firstShard: 0, nonce: 'b' }] }), head);
    assert.deepEqual(await pieces.getPlanHead(batchId), head);
    assert.deepEqual(await pieces.getPlanShard(batchId, 0), plan);
    assert.equal(await pieces.getPlanShard(batchId, 1), null);
    const refused = { verdict: 'refused' as const, errors: [] };
    assert.deepEqual(await pieces.createPlanHead('batch_b', refused), refused);
    assert.equal(await pieces.getPlanShard('batch_b', 0), null);
  });

  it('decides once under which ids a batch is published', async () => {
    const batchId = newNonce();
    const publication = { outputFileId: 'file-1', errorFileId: 'file-2', createdAt: 5 };
    assert.deepEqual(await pieces.createPublication(batchId, publication), publication);
    assert.deepEqual(await pieces.createPublication(batchId, { ...publication, createdAt: 6 }), publication);
  });

  it('lets one of several put another publication in the place of one', async () => {
    const batchId = newNonce();
    const past = { outputFileId: 'file-1', errorFileId: 'file-2', createdAt: 5 };
    assert.equal(await pieces.getPublication(batchId), null);
    await pieces.createPublication(batchId, past);
    const others = ['a', 'b', 'c'].map((name) => ({ outputFileId: `file-${name}1`, errorFileId: `file-${name}2`, createdAt: 6 }));
    const seen = await Promise.all(others.map(async (next) => await pieces.replacePublication(batchId, past, next)));
    const standing = await pieces.getPublication(batchId);
    assert.ok(standing !== null && others.some(({ outputFileId }) => outputFileId === standing.outputFileId));
    assert.deepEqual(seen, [standing, standing, standing]);
  });
});

function lineResult(line: number, bytes = 20): LineResult {
  return {
    line,
    outcome: 'completed',
    usage: null,
    attempts: 1,
    milliseconds: 1,
    resultLine: Buffer.from(`{"line":${line}}`.padEnd(bytes)),
  };
}

async function linesOf(entries: readonly (PieceEntry | undefined)[]): Promise<string[]> {
  const wanted = entries.filter((entry) => entry !== undefined);
  return (await collect(pieces.readResultLines(wanted))).flat().map((line) => line.toString());
}

async function shardObject(object: { key: string; bytes: number }): Promise<string> {
  const body = (await bucket.store.get(object.key))?.body;
  assert.equal(body?.length, object.bytes);
  return String(body);
}

async function* linesFrom(count: number, bytes: number, letter = 'x'): AsyncGenerator<Buffer[]> {
  const line = Buffer.alloc(bytes, letter);
  for (let left = count; left > 0; left -= 3) yield Array.from({ length: Math.min(left, 3) }, () => line);
}

function shardResult(shard: number, completed: number): ShardResultLines {
  return {
    shard,
    firstLine: 1,
    lastLine: 2,
    completed,
    failed: 0,
    notRun: 0,
    copied: 0,
    usage: zeroUsage(),
    models: [],
    failures: [],
    output: null,
    error: null,
    lines: [],
  };
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { decodeBody } from '../../src/upstream/client/decode-body.ts';

const TEXT = Buffer.from('{"a":"ä"}');

async function decoded(body: Buffer, encoding: string | string[] | undefined, maxBytes = 1000): Promise<string> {
  const result = await decodeBody(body, encoding, maxBytes);
  return 'body' in result ? result.body.toString() : result.fault;
}

describe('decodeBody', () => {
  it('undoes every encoding of HTTP, by all its names', async () => {
    const cases: [string, Buffer][] = [
      ['gzip', gzipSync(TEXT)],
      ['x-gzip', gzipSync(TEXT)],
      ['GZIP ', gzipSync(TEXT)],
      ['deflate', deflateSync(TEXT)],
      ['deflate', deflateRawSync(TEXT)],
      ['br', brotliCompressSync(TEXT)],
      ['zstd', zstdCompressSync(TEXT)],
      ['identity', TEXT],
      ['', TEXT],
    ];
    for (const [encoding, body] of cases) assert.equal(await decoded(body, encoding), TEXT.toString(), encoding);
    assert.equal(await decoded(TEXT, undefined), TEXT.toString());
  });

  it('undoes several encodings, the last one first', async () => {
    const body = brotliCompressSync(gzipSync(TEXT));
    for (const encoding of ['gzip, br', 'gzip,identity,br', ['gzip', 'br']]) assert.equal(await decoded(body, encoding), TEXT.toString());
  });

  it('names an encoding that is not known, or not the one of the body', async () => {
    assert.equal(await decoded(TEXT, 'compress'), 'has the content encoding "compress", which is not known here');
    assert.equal(await decoded(TEXT, 'gzip'), 'is not in its content encoding "gzip"');
    assert.equal(await decoded(gzipSync(TEXT).subarray(0, -9), 'x-gzip'), 'is not in its content encoding "x-gzip"');
    assert.match(await decoded(TEXT, 'x'.repeat(5000)), /^has the content encoding "x{80}",/);
    assert.match(await decoded(TEXT, Array.from({ length: 50 }, () => 'gzip').join()), /50 content encodings/);
  });

  it('ends with what would be longer than allowed', async () => {
    const body = gzipSync(Buffer.alloc(100_000));
    assert.equal(await decoded(body, 'gzip'), 'is longer than 1000 bytes once decoded');
  });
});

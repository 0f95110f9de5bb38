import { promisify } from 'node:util';
import {
  brotliDecompress,
  type BrotliOptions,
  gunzip,
  inflate,
  inflateRaw,
  type ZlibOptions,
  zstdDecompress,
  type ZstdOptions,
} from 'node:zlib';

/** A body without its encodings, or why there is none: the end of a sentence that begins with the answer. */
export type DecodedBody = { body: Buffer } | { fault: string };

type Decoder = (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const unzip: Decoder = promisify<Buffer, ZlibOptions, Buffer>(gunzip);
const unwrap: Decoder = promisify<Buffer, ZlibOptions, Buffer>(inflate);
const unwrapRaw: Decoder = promisify<Buffer, ZlibOptions, Buffer>(inflateRaw);
const DECODERS: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['gzip', unzip],
  ['x-gzip', unzip],
  // Some servers leave the wrapper of zlib out.
  ['deflate', async (body, options) => await unwrap(body, options).catch(async () => await unwrapRaw(body, options))],
  ['br', promisify<Buffer, BrotliOptions, Buffer>(brotliDecompress)],
  ['zstd', promisify<Buffer, ZstdOptions, Buffer>(zstdDecompress)],
]);

/** More are no encoding of a body, but an attack on who decodes it. */
const MAX_ENCODINGS = 4;

/** Undoes content encodings that nobody asked for. The bytes of a body without one come back as they are. */
export async function decodeBody(body: Buffer, encoding: string | string[] | undefined, maxBytes: number): Promise<DecodedBody> {
  if (encoding === undefined || body.length === 0) return { body };
  const names = [encoding]
    .flat()
    .join(',')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity');
  if (names.length > MAX_ENCODINGS) return { fault: `has ${names.length} content encodings, and at most ${MAX_ENCODINGS} are undone` };
  let decoded = body;
  // The one that was put on last is named last.
  for (const name of names.toReversed()) {
    const shown = JSON.stringify(name.slice(0, 80));
    const decoder = DECODERS.get(name);
    if (decoder === undefined) return { fault: `has the content encoding ${shown}, which is not known here` };
    try {
      decoded = await decoder(decoded, { maxOutputLength: maxBytes });
    } catch (error) {
      const isTooLong = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
      return { fault: isTooLong ? `is longer than ${maxBytes} bytes once decoded` : `is not in its content encoding ${shown}` };
    }
  }
  return { body: decoded };
}

import { ApiFault, networkFault } from './api-fault.ts';
import type { Http } from './http.ts';

/** The content is shorter than the byte to begin with, so what is on disk belongs to something else. */
export class ContentIsShorter extends Error {
  override readonly name = 'ContentIsShorter';
}

/** A transfer that stands still for this long is taken up anew. */
const STALLED_MS = 60_000;

/**
 * A file's content from byte `from` on. When the connection breaks, the next request asks for what is missing, so nothing is
 * yielded twice. Ends without an error only when all bytes have come, as far as the API tells how many there are.
 */
export async function* readContent(
  http: Http,
  { path, from, onTotal = () => {} }: { path: string; from: number; onTotal?: (bytes: number) => void },
): AsyncIterable<Uint8Array> {
  let [at, total, etag]: [number, number | null, string | null] = [from, null, null];
  for (let tries = 0; ;) {
    // A content has one length and one form only when nobody on the way compresses it.
    const headers = {
      'accept-encoding': 'identity',
      ...(at === 0 ? {} : { range: `bytes=${at}-` }),
      ...(at > 0 && etag !== null ? { 'if-range': etag } : {}),
    };
    const answer = await http.open({ method: 'GET', path, headers }, [416]);
    const place = placeOf(answer, at);
    total = place.total ?? total;
    etag = answer.headers.get('etag')?.startsWith('"') === true ? answer.headers.get('etag') : null;
    if (answer.status === 416) {
      await answer.body?.cancel();
      if (total !== at) throw new ContentIsShorter();
      onTotal(at);
      return;
    }
    if (total !== null) onTotal(total);
    const start = at;
    try {
      let skip = at - place.start;
      for await (const chunk of chunksOf(answer)) {
        const rest = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - rest.length;
        if (rest.length === 0) continue;
        at += rest.length;
        yield rest;
      }
      if (total === null || at >= total) return;
      throw new Error(`the connection ended after ${at} of ${total} bytes`);
    } catch (error) {
      http.signal.throwIfAborted();
      tries = at > start ? 0 : tries + 1;
      await http.pause(brokenOff(http, error), tries);
    }
  }
}

/** Where an answer begins, and how long the whole content is, as far as it says so. */
function placeOf(answer: Response, at: number): { start: number; total: number | null } {
  const [, start, size] = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(answer.headers.get('content-range') ?? '') ?? [];
  const total = size === undefined || size === '*' ? null : Number(size);
  if (answer.status === 416) return { start: at, total };
  if (answer.status === 206) {
    if (start !== undefined && Number(start) <= at) return { start: Number(start), total };
    throw new ApiFault(`The API answered with another part of the file than the one from byte ${at} on.`, { isTransient: false });
  }
  const length = answer.headers.get('content-encoding') === null ? answer.headers.get('content-length') : null;
  return { start: 0, total: length === null ? null : Number(length) };
}

async function* chunksOf(answer: Response): AsyncIterable<Uint8Array> {
  const reader = answer.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { promise, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new DOMException('stands still', 'TimeoutError')), STALLED_MS);
      const { done, value } = await Promise.race([reader.read(), promise]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function brokenOff(http: Http, error: unknown): ApiFault {
  const { message } = networkFault(http.address, error);
  return new ApiFault(`The transfer broke off. ${message}`, { isTransient: true, cause: error });
}

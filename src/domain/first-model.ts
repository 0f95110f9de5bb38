import { createLineSplitter } from './jsonl.ts';
import { createRequestLineChecker } from './request-line.ts';

/** Most of an input that is to be read for its first model: enough for any line but one with pictures. */
export const FIRST_MODEL_BYTES = 1024 * 1024;

/** The model that the first request of an input names; null where these first bytes do not tell. */
export async function readFirstModel(body: AsyncIterable<Uint8Array>, endpoint: string): Promise<string | null> {
  const splitter = createLineSplitter({ maxLineBytes: FIRST_MODEL_BYTES });
  const checker = createRequestLineChecker({ endpoint, limits: { maxLineBytes: FIRST_MODEL_BYTES }, lineOf: () => null });
  for await (const chunk of body) {
    const [first] = splitter.push(chunk);
    if (first === undefined) continue;
    const checked = checker.check(first.bytes, first.line);
    return checked.errors === null ? checked.model : null;
  }
  return null;
}

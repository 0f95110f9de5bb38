import type { File } from '../src/domain/file.ts';
import { createLineSplitter } from '../src/domain/jsonl.ts';
import { createRequestLineChecker } from '../src/domain/request-line.ts';
import type { FileStore } from '../src/storage/file-store.ts';

/** Most that is read: enough for any line but one with pictures. */
const MAX_BYTES = 1024 * 1024;

/** The model that the first request of an input names; null where one short read does not tell. */
export async function readFirstModel(
  files: Pick<FileStore, 'openContent'>,
  { tenant, file, endpoint }: { tenant: string; file: File; endpoint: string },
): Promise<string | null> {
  const content = await files.openContent(tenant, file.id, { start: 0, end: Math.min(file.bytes, MAX_BYTES) - 1 });
  if (content === null) return null;
  const splitter = createLineSplitter({ maxLineBytes: MAX_BYTES });
  const checker = createRequestLineChecker({ endpoint, limits: { maxLineBytes: MAX_BYTES }, lineOf: () => null });
  const chunks: AsyncIterable<Buffer> = content.body;
  for await (const chunk of chunks) {
    const [first] = splitter.push(chunk);
    if (first === undefined) continue;
    const checked = checker.check(first.bytes, first.line);
    return checked.errors === null ? checked.model : null;
  }
  return null;
}

import type { ContentWriter } from '../storage/file-store.ts';
import type { Logger } from './context.ts';
import { settledWithin } from '../async/settled-within.ts';

/** Longest that a client waits for what it sent to be dropped; a bucket that hangs takes longer. */
const PATIENCE_MS = 1_000;

/** Drops what came of an upload that will not become anything. What cannot be dropped is left to the sweep. */
export async function dropHalfContent(content: ContentWriter, { logger, id }: { logger: Logger; id: string }): Promise<void> {
  const dropped = content
    .abort()
    .catch((error: unknown) =>
      logger.warn({ upload: id, err: error }, 'the content of an unfinished upload could not be removed; the sweep will remove it'),
    );
  await settledWithin(dropped, PATIENCE_MS);
}

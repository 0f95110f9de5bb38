import { keys } from './keys.ts';
import type { ObjectStore } from './object-store.ts';

/** What the marker of an upload says; without an id the upload was perhaps started, and is found by its key. */
export interface UploadMarker {
  key: string;
  uploadId: string | null;
  /** Key of an object that names this upload for as long as somebody goes on with it, whatever the age of the marker. */
  heldBy?: string;
}

/** The sweep takes an upload for dead whose marker is an hour old or more, so one that lives writes it anew so often. */
export const MARK_EVERY_MS = 15 * 60_000;

/** The marker `uploads/<nonce>` of one upload of an object. */
export interface MarkerWriter {
  readonly isWritten: boolean;
  /** Writes the marker. */
  write(uploadId: string | null): Promise<void>;
  /** Writes it again from time to time, with what it said last, until `stop` or `remove`. A time that fails is made good by the next one. */
  keepYoung(): void;
  stop(): Promise<void>;
  remove(): Promise<void>;
}

export function createMarkerWriter({
  store,
  key,
  nonce,
  everyMs = MARK_EVERY_MS,
}: {
  store: ObjectStore;
  key: string;
  nonce: string;
  everyMs?: number;
}): MarkerWriter {
  let content: UploadMarker | null = null;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  async function put(): Promise<void> {
    await store.put(keys.upload(nonce), Buffer.from(JSON.stringify(content)));
  }

  /** What is on its way has then arrived, so that a marker which is removed does not come back. */
  async function stop(): Promise<void> {
    clearInterval(timer);
    await writing;
  }

  return {
    stop,
    get isWritten() {
      return content !== null;
    },
    async write(uploadId) {
      content = { key, uploadId };
      await put();
    },
    keepYoung() {
      timer = setInterval(() => void (writing = writing.then(put).catch(() => undefined)), everyMs);
      timer.unref();
    },
    async remove() {
      await stop();
      await store.remove([keys.upload(nonce)]);
    },
  };
}

import { errorMonitor } from 'node:events';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Metrics } from './metrics.ts';

/** The calls that are timed, as they are called in the metrics; `read` is a stream that broke off. */
export const BUCKET_OPERATIONS = [
  'get',
  'open',
  'read',
  'stat',
  'put',
  'create',
  'replace',
  'list',
  'remove',
  'start_multipart',
  'upload_part',
  'copy_part',
  'complete_multipart',
  'abort_multipart',
  'list_multipart',
  'list_parts',
  'ping',
] as const;
type Operation = (typeof BUCKET_OPERATIONS)[number];

/** The same bucket, its calls timed and its errors counted. */
export function watchObjectStore(
  store: ObjectStore,
  { metrics, monotonicMs }: { metrics: Pick<Metrics, 'bucketCalled'>; monotonicMs: () => number },
): ObjectStore {
  async function timed<T>(operation: Operation, call: () => Promise<T>): Promise<T> {
    const startedMs = monotonicMs();
    let isFailed = true;
    try {
      const result = await call();
      isFailed = false;
      return result;
    } finally {
      metrics.bucketCalled(operation, (monotonicMs() - startedMs) / 1000, isFailed);
    }
  }

  /** A listing lasts as long as its reader reads: only its errors say something of the bucket. */
  async function* listed<T>(items: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    try {
      yield* items;
    } catch (error) {
      metrics.bucketCalled('list', 0, true);
      throw error;
    }
  }

  return {
    ...store,
    get: (...args) => timed('get', () => store.get(...args)),
    async open(...args) {
      const opened = await timed('open', () => store.open(...args));
      // The monitor hears of errors without taking them from whom they are for.
      opened?.body.once(errorMonitor, () => metrics.bucketCalled('read', 0, true));
      return opened;
    },
    stat: (...args) => timed('stat', () => store.stat(...args)),
    put: (...args) => timed('put', () => store.put(...args)),
    create: (...args) => timed('create', () => store.create(...args)),
    replace: (...args) => timed('replace', () => store.replace(...args)),
    list: (...args) => listed(store.list(...args)),
    listFolders: (...args) => listed(store.listFolders(...args)),
    remove: (...args) => timed('remove', () => store.remove(...args)),
    startMultipart: (...args) => timed('start_multipart', () => store.startMultipart(...args)),
    uploadPart: (...args) => timed('upload_part', () => store.uploadPart(...args)),
    copyPart: (...args) => timed('copy_part', () => store.copyPart(...args)),
    completeMultipart: (...args) => timed('complete_multipart', () => store.completeMultipart(...args)),
    abortMultipart: (...args) => timed('abort_multipart', () => store.abortMultipart(...args)),
    listParts: (...args) => timed('list_parts', () => store.listParts(...args)),
    listMultipart: (...args) => timed('list_multipart', () => store.listMultipart(...args)),
    ping: () => timed('ping', () => store.ping()),
  };
}

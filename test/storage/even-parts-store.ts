import { type ObjectStore, ObjectStoreError } from '../../src/storage/object-store.ts';

/** A store that demands of an upload what R2 demands: parts of one size, 5 MiB at least, and a last one that is not larger. */
export function demandEvenParts(store: ObjectStore): ObjectStore & { readonly uploads: number[][] } {
  const sizes = new Map<string, Map<number, number>>();
  const uploads: number[][] = [];
  const note = (uploadId: string, part: number, size: number) => {
    sizes.set(uploadId, (sizes.get(uploadId) ?? new Map<number, number>()).set(part, size));
  };
  return {
    ...store,
    uploads,
    async uploadPart(key, uploadId, part, body) {
      note(uploadId, part, body.length);
      return await store.uploadPart(key, uploadId, part, body);
    },
    async copyPart(key, uploadId, part, source, range) {
      note(uploadId, part, range === undefined ? ((await store.stat(source))?.size ?? 0) : range.end + 1 - range.start);
      return await store.copyPart(key, uploadId, part, source, range);
    },
    async completeMultipart(key, uploadId, parts) {
      const all = parts.map(({ part }) => sizes.get(uploadId)?.get(part) ?? 0);
      uploads.push(all);
      const [size = 0] = all;
      const isEven = all.slice(0, -1).every((each) => each === size && each >= 5 * 1024 * 1024) && (all.at(-1) ?? 0) <= size;
      if (!isEven) throw new ObjectStoreError('completeMultipart', key, new Error('All non-trailing parts must have the same length.'));
      await store.completeMultipart(key, uploadId, parts);
    },
  };
}

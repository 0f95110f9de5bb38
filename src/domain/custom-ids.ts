/** Words of 32 bits per custom_id: 16 bytes of its hash, then its line. */
const WORDS = 5;
const HASH_WORDS = 4;

/** Remembers custom_ids by 20 bytes each, so that a million of them take some 50 MB at most. */
export interface CustomIds {
  /** The line that had it before; null when none had, and then this line is remembered. */
  lineOf(customId: string, line: number): number | null;
  /** The same for any bytes. */
  lineOfBytes(bytes: Uint8Array, line: number): number | null;
  /** What was remembered since the last call, 20 bytes each, to be restored by another process. */
  takeNew(): Buffer;
  /** Eight bytes for each: its hash and its line, by hash, to find the line of a custom_id in few bytes. See `customIdHash`. */
  index(): Buffer;
  /** Remembers what `takeNew` answered elsewhere. */
  restore(bytes: Buffer): void;
}

/** Hashes bytes to 16 or more, and must resist collisions, because clients choose the texts. */
export type Digest = (bytes: Uint8Array) => Uint8Array;

/** No custom_ids yet. Checkers that go on from one another need the same digest. */
export function createCustomIds(digest: Digest): CustomIds {
  // Open addressing; an empty slot is all zeros.
  let slots = 1024;
  let table = new Uint32Array(slots * WORDS);
  let count = 0;
  let added = Buffer.alloc(0);
  let addedBytes = 0;

  function note(entry: Uint32Array): void {
    if (addedBytes === added.length) added = Buffer.concat([added], Math.max(1024 * WORDS * 4, 2 * added.length));
    for (const word of entry) addedBytes = added.writeUInt32LE(word, addedBytes);
  }

  function remember(entry: Uint32Array): void {
    table.set(entry, place(table, slots, entry).at);
    count += 1;
    if (count * 4 > slots * 3) grow();
  }

  /** Where the hash is, or the empty slot where it belongs. */
  function place(into: Uint32Array, size: number, words: Uint32Array): { at: number; found: boolean } {
    let slot = (words[0] ?? 0) % size;
    for (;;) {
      const at = slot * WORDS;
      if (isSame(into, at, words)) return { at, found: true };
      if (into[at] === 0 && into[at + 1] === 0 && into[at + 2] === 0 && into[at + 3] === 0) return { at, found: false };
      slot = (slot + 1) % size;
    }
  }

  function grow(): void {
    const size = slots * 2;
    const next = new Uint32Array(size * WORDS);
    for (let at = 0; at < table.length; at += WORDS) {
      const words = table.subarray(at, at + WORDS);
      if (words.some((word) => word !== 0)) next.set(words, place(next, size, words).at);
    }
    table = next;
    slots = size;
  }

  function lineOfBytes(bytes: Uint8Array, line: number): number | null {
    const words = hashWords(bytes, digest);
    const { at, found } = place(table, slots, words);
    if (found) return table[at + HASH_WORDS] ?? 0;
    const entry = new Uint32Array(WORDS);
    entry.set(words);
    entry[HASH_WORDS] = line;
    note(entry);
    remember(entry);
    return null;
  }

  return {
    // As UTF-16, because UTF-8 would make all lone surrogates the same.
    lineOf: (customId, line) => lineOfBytes(Buffer.from(customId, 'utf16le'), line),
    lineOfBytes,

    takeNew() {
      const taken = Buffer.from(added.subarray(0, addedBytes));
      addedBytes = 0;
      return taken;
    },

    index() {
      const entries = new BigUint64Array(count);
      const words = new Uint32Array(entries.buffer);
      let at = 0;
      for (let slot = 0; slot < table.length; slot += WORDS) {
        const line = table[slot + HASH_WORDS] ?? 0;
        if (line === 0) continue;
        // In the order of the machine's bytes, which is little-endian: the hash is the higher half.
        words[at++] = line;
        words[at++] = table[slot] ?? 0;
      }
      entries.sort();
      return Buffer.from(entries.buffer);
    },

    restore(bytes) {
      for (let at = 0; at < bytes.length; at += WORDS * 4) {
        remember(Uint32Array.from({ length: WORDS }, (_, word) => bytes.readUInt32LE(at + word * 4)));
      }
    },
  };
}

/** The hash under which `index` has a custom_id. */
export function customIdHash(customId: string, digest: Digest): number {
  return hashWords(Buffer.from(customId, 'utf16le'), digest)[0] ?? 0;
}

function isSame(table: Uint32Array, at: number, words: Uint32Array): boolean {
  return table[at] === words[0] && table[at + 1] === words[1] && table[at + 2] === words[2] && table[at + 3] === words[3];
}

function hashWords(bytes: Uint8Array, digest: Digest): Uint32Array {
  const hash = digest(bytes);
  const view = new DataView(hash.buffer, hash.byteOffset, hash.byteLength);
  const words = new Uint32Array(HASH_WORDS);
  for (let word = 0; word < HASH_WORDS; word++) words[word] = view.getUint32(word * 4, true);
  if (words.every((word) => word === 0)) words[0] = 1;
  return words;
}

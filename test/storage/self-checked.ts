import { createHash, randomBytes } from 'node:crypto';

/** Objects below this prefix can be checked without knowing what was written. */
export const SELF_CHECKED = 'self-checked';

const HASH_BYTES = 32;

/** Random bytes behind their own hash. */
export function selfChecked(bytes: number): Buffer {
  const rest = randomBytes(bytes);
  return Buffer.concat([Buffer.from(hashOf(rest)), rest]);
}

/** Whether these are all of the bytes that `selfChecked` made. */
export function isWhole(body: Buffer): boolean {
  return hashOf(body.subarray(HASH_BYTES)) === body.toString('latin1', 0, HASH_BYTES);
}

export function hashOf(body: Buffer): string {
  return createHash('md5').update(body).digest('hex');
}

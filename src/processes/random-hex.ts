import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 8192;

/**
 * Makes `randomHex(digits)`, random text of that many hexadecimal digits. Bytes are drawn from the system many at a time: a
 * worker wants some for every line, and one draw costs as much for a page as for a few.
 */
export function createRandomHex(): (digits: number) => string {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;
  return (digits) => {
    const bytes = Math.ceil(digits / 2);
    if (used + bytes > POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    used += bytes;
    return pool.toString('hex', used - bytes, used).slice(0, digits);
  };
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRandomHex } from '../../src/processes/random-hex.ts';

describe('createRandomHex()', () => {
  it('gives as many digits as asked for, odd numbers too', () => {
    const randomHex = createRandomHex();
    for (const digits of [1, 2, 3, 20, 32]) assert.match(randomHex(digits), new RegExp(`^[0-9a-f]{${digits}}$`));
  });

  it('never gives the same twice, also when the pool is drawn anew', () => {
    const randomHex = createRandomHex();
    const seen = new Set(Array.from({ length: 5000 }, () => randomHex(32)));
    assert.equal(seen.size, 5000);
  });
});

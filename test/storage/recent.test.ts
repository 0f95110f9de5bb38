import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRecent } from '../../src/storage/recent.ts';

describe('createRecent', () => {
  it('drops the value not used for longest once there are too many', () => {
    const recent = createRecent<number>(2);
    recent.set('a', 1);
    recent.set('b', 2);
    assert.equal(recent.get('a'), 1);
    recent.set('c', 3);
    assert.deepEqual([recent.get('a'), recent.get('b'), recent.get('c')], [1, undefined, 3]);
  });

  it('counts what the values weigh, and keeps none that is heavier than all may be', () => {
    const recent = createRecent<string>(10, (_key, value) => value.length);
    recent.set('a', 'xxxx');
    recent.set('b', 'xxxx');
    recent.set('c', 'xxxx');
    assert.deepEqual([recent.get('a'), recent.get('b'), recent.get('c')], [undefined, 'xxxx', 'xxxx']);
    recent.set('b', 'xxxxxxxxxxx');
    assert.deepEqual([recent.get('b'), recent.get('c')], [undefined, 'xxxx']);
    recent.set('c', 'xx');
    recent.set('d', 'xxxxxxxx');
    assert.deepEqual([recent.get('c'), recent.get('d')], ['xx', 'xxxxxxxx']);
  });
});

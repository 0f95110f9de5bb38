import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { onAbort } from '../../src/async/on-abort.ts';

describe('onAbort', () => {
  it('calls everybody who waits once, in the order of coming', () => {
    const { signal, abort } = ending();
    const called: string[] = [];
    onAbort(signal, () => called.push('first'));
    onAbort(signal, () => called.push('second'));
    abort();
    abort();
    assert.deepEqual(called, ['first', 'second']);
  });

  it('does not call who has left, not even while the others are called', () => {
    const { signal, abort } = ending();
    const called: string[] = [];
    onAbort(signal, () => leave());
    const leave = onAbort(signal, () => called.push('left while being called'));
    onAbort(signal, () => called.push('left before'))();
    onAbort(signal, () => called.push('stayed'));
    abort();
    assert.deepEqual(called, ['stayed']);
  });

  it('keeps signals apart', () => {
    const [one, other] = [ending(), ending()];
    const called: string[] = [];
    onAbort(one.signal, () => called.push('one'));
    onAbort(other.signal, () => called.push('other'));
    other.abort();
    assert.deepEqual(called, ['other']);
  });
});

function ending() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

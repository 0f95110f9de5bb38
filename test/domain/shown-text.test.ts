import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cutText, shownText } from '../../src/domain/shown-text.ts';

describe('cutText()', () => {
  it('leaves a short text as it is, and cuts no character in two', () => {
    assert.equal(cutText('abc', 3), 'abc');
    assert.equal(cutText('abcd', 3), 'abc');
    assert.equal(cutText('ab😀', 4), 'ab😀');
    assert.equal(cutText('ab😀', 3), 'ab');
    assert.equal(cutText('ab😀x', 4), 'ab😀');
  });
});

describe('shownText()', () => {
  it('shows the names of files and models as they are', () => {
    for (const text of ['file-0123456789abcdef01234567', '/models/Qwen 3', 'modèle-😀']) assert.equal(shownText(text), text);
  });

  it('is one line without control characters and half characters', () => {
    assert.equal(shownText('a\nb\0c\u0085d'), 'a b c d');
    assert.equal(shownText('a\uD800b'), 'a\uFFFDb');
  });

  it('never has more than 255 units and a kilobyte, whatever it is made of', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600, size: 'max' }), (text) => {
        const shown = shownText(text);
        assert.ok(shown.length <= 255 && Buffer.byteLength(shown) <= 1024 && shown.isWellFormed());
        if (text.length > 256) assert.ok(shown.length >= 254);
      }),
    );
  });
});

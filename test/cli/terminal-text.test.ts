import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { json, lines, oneLine, quoted, truncate } from '../../src/cli/terminal-text.ts';

const HOSTILE = 'a\x1b[2Jb\x9b31mc\x07d\u202Ee\x7ff\r\ng\x00';

describe('terminal text', () => {
  it('has no control character of a server or a file', () => {
    assert.equal(oneLine(HOSTILE), 'a\\x1b[2Jb\\x9b31mc\\x07d\\u202ee\\x7ff g\\x00');
    assert.equal(lines('a\n\tb\x1bc\rd'), 'a\n\tb\\x1bc\\x0dd');
    for (const text of [oneLine(HOSTILE), json({ HOSTILE })]) assert.doesNotMatch(text, /[\p{Cc}\u202E]/u);
    assert.deepEqual(JSON.parse(json({ HOSTILE })), { HOSTILE });
  });

  it('leaves every other text as it is', () => {
    for (const text of ['naïve 日本語 👩‍👩‍👧', 'a  b']) assert.deepEqual([oneLine(text), JSON.parse(json(text))], [text, text]);
  });

  it('is cut at a length in characters, with a mark', () => {
    assert.equal(truncate('👍'.repeat(3), 2), '👍👍…');
    assert.equal(truncate('ab', 2), 'ab');
    assert.equal(quoted('x'.repeat(100)), `"${'x'.repeat(80)}…"`);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { contentDisposition } from '../../src/api/filename.ts';

describe('contentDisposition', () => {
  it('stays under 4 KiB for any name, in ASCII, and keeps a short ending', () => {
    for (const name of [
      'ä'.repeat(1024),
      '🌙'.repeat(1020) + '.csv',
      'x'.repeat(5000) + '.jsonl',
      '%'.repeat(1024),
      '\ud800'.repeat(1024),
    ]) {
      const header = contentDisposition(name);
      assert.ok(header.length < 2048, `${header.length}`);
      assert.match(header, /^[\x20-\x7e]+$/);
      const [, encoded = ''] = /filename\*=UTF-8''(\S+)$/.exec(header) ?? [];
      const decoded = decodeURIComponent(encoded);
      assert.ok(name.toWellFormed().startsWith(decoded.slice(0, 100)));
      assert.equal(decoded.endsWith('.jsonl') || decoded.endsWith('.csv'), name.includes('.'));
    }
  });

  it('leaves a name of usual length whole', () => {
    assert.equal(contentDisposition('näme.jsonl'), `attachment; filename="n_me.jsonl"; filename*=UTF-8''n%C3%A4me.jsonl`);
  });
});

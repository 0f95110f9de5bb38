import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { errorsPage } from '../../docs/errors.ts';

describe('docs/errors.md', () => {
  it('lists the errors that the code makes (npm run errors)', async () => {
    const { found, current } = await errorsPage();
    assert.equal(found, current);
    // Guards against a page that lost its tables.
    for (const code of ['storage_quota_exceeded', 'duplicate_custom_id', 'batch_expired', 'request_crashed_worker'])
      assert.ok(current.includes(`| \`${code}\` |`), code);
  });
});

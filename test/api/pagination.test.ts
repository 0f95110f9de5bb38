import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import Koa from 'koa';
import type { ApiState } from '../../src/api/context.ts';
import { createHttpServer } from '../../src/api/http-server.ts';
import { sendPage } from '../../src/api/pagination.ts';

describe('sendPage', () => {
  async function page(data: readonly { id: string; filename?: string }[], hasMore: boolean) {
    const app = new Koa<ApiState>();
    app.use((ctx) => sendPage(ctx, data, hasMore));
    const server = createHttpServer(app, () => '0').listen(0, '127.0.0.1');
    try {
      await once(server, 'listening');
      const address = server.address();
      const answer = await fetch(`http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`);
      const text = await answer.text();
      return { bytes: Buffer.byteLength(text), ...JSON.parse(text) };
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }

  it('has the members of a list in order, also when it is empty', async () => {
    const { bytes: _, ...some } = await page([{ id: 'a' }, { id: 'b' }], true);
    assert.equal(JSON.stringify(some), '{"object":"list","data":[{"id":"a"},{"id":"b"}],"first_id":"a","last_id":"b","has_more":true}');
    const { bytes: __, ...none } = await page([], false);
    assert.deepEqual(none, { object: 'list', data: [], first_id: null, last_id: null, has_more: false });
  });

  it('ends after 4 MiB, with has_more, so that the next page begins where this one ended', async () => {
    const files = Array.from({ length: 2000 }, (_, index) => ({ id: `file-${index}`, filename: '\u0000'.repeat(1024) }));
    const cut = await page(files, false);
    assert.ok(cut.bytes < 4.1 * 1024 * 1024 && cut.bytes > 4 * 1024 * 1024 - 10_000, `${cut.bytes} bytes`);
    assert.deepEqual([cut.has_more, cut.last_id], [true, files[cut.data.length - 1]?.id]);
    const large = [{ id: 'a', filename: 'x'.repeat(5 * 1024 * 1024) }, { id: 'b' }];
    const first = await page(large, false);
    assert.deepEqual([first.data.length, first.has_more, first.last_id], [1, true, 'a']);
    const usual = Array.from({ length: 10_000 }, (_, index) => ({ id: `file-${index}`, filename: 'x'.repeat(150) }));
    assert.equal((await page(usual, false)).data.length, 10_000);
  });
});

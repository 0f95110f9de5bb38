import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import { askModels, type ModelsAnswer } from '../../src/upstream/client/ask-models.ts';
import { createModelLists } from '../../src/upstream/model-lists.ts';

const list = (...names: string[]): ModelsAnswer => ({ status: 200, text: JSON.stringify({ data: names.map((id) => ({ id })) }) });

/** Lists of one upstream whose servers give these answers; counts how often they are asked. */
function listsOf(answers: readonly ModelsAnswer[], changes: { models?: readonly string[] | null; checkModels?: boolean } = {}) {
  const time = { nowMs: 0 };
  let asked = 0;
  const baseUrls = answers.map((_, at) => String(at));
  const lists = createModelLists({
    upstreams: [{ name: 'u', baseUrls, models: null, checkModels: true, ...changes }],
    async ask(upstream, baseUrl) {
      asked += 1;
      assert.equal(upstream, 'u');
      return answers[Number(baseUrl)] ?? { fault: 'no such server' };
    },
    monotonicMs: () => time.nowMs,
  });
  return { of: async () => await lists.of('u'), time, asked: () => asked };
}

describe('createModelLists', () => {
  it('asks each server of an upstream once a minute, also when it is asked twice at once', async () => {
    const lists = listsOf([list('a', 'b'), list('b', 'c')]);
    assert.deepEqual(await Promise.all([lists.of(), lists.of()]), [
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
    ]);
    lists.time.nowMs = 59_999;
    await lists.of();
    assert.equal(lists.asked(), 2);
    lists.time.nowMs = 60_000;
    await lists.of();
    assert.equal(lists.asked(), 4);
  });

  it('answers null where a server does not answer with a complete list', async () => {
    const incomplete: ModelsAnswer = { status: 200, text: '{"data":[{"id":"x","owned_by":"llamacpp"}]}' };
    for (const answer of [{ fault: 'away' }, { status: 404, text: '{"data":[{"id":"x"}]}' }, { status: 200, text: '{}' }, incomplete]) {
      const lists = listsOf([list('a'), answer]);
      assert.deepEqual([await lists.of(), await lists.of(), lists.asked()], [null, null, 2]);
    }
  });

  it('asks nobody where the operator named each model, or switched the check off', async () => {
    for (const changes of [{ models: ['a'] }, { checkModels: false }]) {
      const lists = listsOf([list('a')], changes);
      assert.deepEqual([await lists.of(), lists.asked()], [null, 0]);
    }
    assert.deepEqual(await listsOf([list('a')], { models: ['a', 'b-*'] }).of(), ['a']);
  });
});

describe('askModels', () => {
  it('asks where an SDK with this base URL asks, with the credentials of requests', async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers.authorization} ${String(request.headers['x-team'])}`);
      response.writeHead(request.url === '/v1/models' ? 200 : 302, { location: '/v1/models' }).end('{}');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const origin = `http://127.0.0.1:${address.port}`;
    try {
      assert.deepEqual(await askModels(origin, { apiKey: 'sk', headers: { 'X-Team': 'nights' } }, 5_000), { status: 200, text: '{}' });
      assert.deepEqual(await askModels(`${origin}/api?a=b`, undefined, 5_000), { status: 302, text: '{}' });
      assert.deepEqual(asked, ['GET /v1/models Bearer sk nights', 'GET /api/models?a=b undefined undefined']);
    } finally {
      server.close();
    }
  });

  it('gives a server that does not answer the time it was given', async () => {
    const server = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    try {
      const answer = await askModels(`http://127.0.0.1:${address.port}`, undefined, 50);
      assert.match('fault' in answer ? answer.fault : '', /within 0\.05 s/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createModelStore } from '../../src/storage/model-store.ts';
import { paceOf } from '../../src/domain/upstream-facts.ts';
import { anUpstream } from '../helpers/upstream-facts.ts';
import { startTestBucket, type TestBucket } from './test-bucket.ts';

describe('createModelStore', () => {
  function withClock({ store }: TestBucket) {
    let nowMs = 1_000_000_000;
    let [writes, reads] = [0, 0];
    const put: typeof store.put = async (key, body) => {
      writes += 1;
      await store.put(key, body);
    };
    const get: typeof store.get = async (key) => {
      reads += 1;
      return await store.get(key);
    };
    const models = createModelStore({ store: { ...store, put, get }, nowMs: () => nowMs });
    return { models, pass: (ms: number) => void (nowMs += ms), writes: () => writes, reads: () => reads };
  }

  it('answers the upstreams in the order of the configuration, and forgets those that no worker tells of', async () => {
    await using bucket = await startTestBucket();
    const { models, pass } = withClock(bucket);
    const [a, b] = [anUpstream('a', { place: 1, requestsPerMinute: 60 }), anUpstream('b', { aliases: { x: 'y' }, listed: ['y'] })];
    await models.tell(a, []);
    await models.tell(b, ['y']);
    assert.deepEqual(await models.upstreams(), [b, a]);
    pass(61 * 60_000);
    await models.tell(a, []);
    assert.deepEqual(await models.upstreams(), [a]);
  });

  it('answers models and upstreams from one read of each object', async () => {
    await using bucket = await startTestBucket();
    const { models, reads } = withClock(bucket);
    await models.tell(anUpstream('a'), ['x']);
    await models.tell(anUpstream('b'), ['x', 'y']);
    const before = reads();
    const served = await models.served();
    assert.equal(reads() - before, 2);
    assert.deepEqual(served, { models: await models.list(), upstreams: await models.upstreams() });
    assert.deepEqual(
      served.models.map(({ model, upstream }) => `${model} of ${upstream}`),
      ['x of a', 'y of b'],
    );
  });

  it('writes a pace once it is another, and keeps it when a worker that has not sent yet tells', async () => {
    await using bucket = await startTestBucket();
    const { models, writes } = withClock(bucket);
    await models.tell(anUpstream('a', { answersPerSecond: 10 }), []);
    for (const answersPerSecond of [11, 9, null]) await models.tell(anUpstream('a', { answersPerSecond }), []);
    assert.deepEqual([writes(), (await models.upstreams())[0]?.answersPerSecond], [1, 10]);
    await models.tell(anUpstream('a', { answersPerSecond: 20 }), []);
    await models.tell(anUpstream('a', { requestsPerMinute: 6 }), []);
    assert.deepEqual([writes(), (await models.upstreams()).map(paceOf)], [3, [0.1]]);
  });
});

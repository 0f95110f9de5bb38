import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applyPauses, followPauses } from '../../src/processes/follow-pauses.ts';
import { type UpstreamPause, type UpstreamPauses, withoutPauseOf, withPause } from '../../src/domain/upstream-pauses.ts';
import { until } from '../helpers/until.ts';

const NOTHING: UpstreamPauses = { all: null, upstreams: {} };
const logger = { info: () => undefined, warn: () => undefined };

function upstreamsOf(...names: string[]): { name: string; pause: UpstreamPause | null }[] {
  return names.map((name) => ({ name, pause: null }));
}

describe('applyPauses', () => {
  it('pauses the upstreams that are named, or all, and resumes the others', async () => {
    const upstreams = upstreamsOf('gpu', 'hosted', 'constructor');
    const pausedBy = async (found: UpstreamPauses) => {
      await applyPauses({ pauses: { read: async () => found }, upstreams, logger });
      return upstreams.map(({ pause }) => pause?.what ?? null);
    };
    assert.deepEqual(await pausedBy(NOTHING), [null, null, null]);
    assert.deepEqual(await pausedBy({ all: null, upstreams: { gpu: 1 } }), ['upstream', null, null]);
    assert.deepEqual(await pausedBy({ all: 2, upstreams: { gpu: 1 } }), ['everything', 'everything', 'everything']);
    assert.deepEqual(await pausedBy({ all: null, upstreams: { gpu: 1 } }), ['upstream', null, null]);
  });
});

describe('followPauses', () => {
  it('keeps what it read last while the bucket is away, and warns once', async () => {
    const upstreams = upstreamsOf('gpu');
    let read: () => Promise<UpstreamPauses> = async () => ({ all: null, upstreams: { gpu: 1 } });
    let [reads, warnings] = [0, 0];
    const stop = new AbortController();
    const pauses = {
      read: async () => {
        reads += 1;
        return await read();
      },
    };
    const following = followPauses({
      pauses,
      upstreams,
      logger: { ...logger, warn: () => void (warnings += 1) },
      signal: stop.signal,
      lookEveryMs: 5,
    });
    await until(() => upstreams[0]?.pause !== null, { what: 'the pause' });
    read = async () => await Promise.reject(new Error('away'));
    const before = reads;
    await until(() => reads > before + 3, { what: 'reads that fail' });
    assert.deepEqual([upstreams[0]?.pause?.what, warnings], ['upstream', 1]);
    read = async () => NOTHING;
    await until(() => upstreams[0]?.pause === null, { what: 'the resume' });
    stop.abort();
    await following;
  });
});

describe('the pauses of upstreams', () => {
  it('keep the time of the first of two pauses, and change nothing that is so already', () => {
    const once = withPause(NOTHING, 'gpu', 1);
    assert.ok(once);
    assert.equal(withPause(once, 'gpu', 2), null);
    assert.deepEqual(withPause(once, null, 3), { all: 3, upstreams: { gpu: 1 } });
    assert.deepEqual([withoutPauseOf(once, null), withoutPauseOf(once, 'other'), withoutPauseOf(once, 'constructor')], [null, null, null]);
    assert.deepEqual(withoutPauseOf(once, 'gpu'), NOTHING);
  });
});

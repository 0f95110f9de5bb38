import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applyPauses, followPauses } from '../../src/processes/follow-pauses.ts';
import { NOTHING_PAUSED, type UpstreamPause, type UpstreamPauses } from '../../src/domain/upstream-pauses.ts';
import { until } from '../helpers/until.ts';

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
    assert.deepEqual(await pausedBy(NOTHING_PAUSED), [null, null, null]);
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
    read = async () => NOTHING_PAUSED;
    await until(() => upstreams[0]?.pause === null, { what: 'the resume' });
    stop.abort();
    await following;
  });
});

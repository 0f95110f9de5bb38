import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createStateRecorder, tellState } from '../../src/processes/tell-state.ts';
import { serveOperators } from '../../src/processes/serve-operators.ts';
import type { WorkerRole } from '../../src/config/settings.ts';
import type { UpstreamPause } from '../../src/domain/upstream-pauses.ts';
import type { WorkerState } from '../../src/domain/worker-state.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMemoryStore } from '../storage/memory-store.ts';
import { until } from '../helpers/until.ts';

/** An upstream with one server, whose counts can be set. */
function watched() {
  const ended = { answers: 0, refusals: 0, faults: 0 };
  const load = { limit: 4, inFlight: 2 };
  const upstream = {
    name: 'gpu',
    waiting: 3,
    quietUntil: null,
    serverStates: () => [{ server: 'gpu:80', ...load, ended: { ...ended }, gates: [] }],
  };
  return { upstream, ended, load };
}

describe('createStateRecorder', () => {
  it('tells rates of the last half minute and the sums of minutes', () => {
    let nowMs = 60_000_000;
    const { upstream, ended, load } = watched();
    const record = createStateRecorder([upstream], () => nowMs);
    const first = record(false).upstreams[0];
    assert.deepEqual(first?.servers[0]?.rates, { answers: 0, refusals: 0, faults: 0 });
    for (let look = 0; look < 12; look++) {
      nowMs += 5_000;
      ended.answers += 10;
      ended.faults += look === 11 ? 3 : 0;
      load.inFlight = look === 0 ? 4 : 2;
      record(false);
    }
    nowMs += 5_000;
    const last = record(false).upstreams[0];
    // 25 seconds with ten answers each five, and five seconds with none.
    assert.deepEqual(last?.servers[0]?.rates, { answers: 1.67, refusals: 0, faults: 0.1 });
    assert.deepEqual(last?.minutes, [
      { at: 60_000, limit: 4, inFlight: 2.2, answers: 110, refusals: 0, faults: 0 },
      { at: 60_060, limit: 4, inFlight: 2, answers: 10, refusals: 0, faults: 3 },
    ]);
    assert.deepEqual([last?.waiting, last?.quietUntil], [3, null]);
  });

  it('keeps an hour', () => {
    let nowMs = 0;
    const record = createStateRecorder([watched().upstream], () => nowMs);
    for (let minute = 0; minute < 100; minute++) {
      nowMs = minute * 60_000;
      record(false);
    }
    const minutes = record(false).upstreams[0]?.minutes ?? [];
    assert.deepEqual([minutes.length <= 61, minutes.at(-1)?.at], [true, 99 * 60]);
  });
});

describe('tellState', () => {
  it('tells again and again, also after a failure, and at last that the worker has ended', async () => {
    const told: WorkerState[] = [];
    let isAway = true;
    const stop = new AbortController();
    const states = {
      write: async (_id: string, state: WorkerState) => {
        if (isAway) throw new Error('away');
        told.push(state);
      },
      removeOld: async () => undefined,
    };
    const record = createStateRecorder([watched().upstream], Date.now);
    const telling = tellState({ workerId: 'w', states, record, nowMs: Date.now, signal: stop.signal, everyMs: 5 });
    isAway = false;
    await until(() => told.length >= 2, { what: 'two states' });
    stop.abort();
    await telling;
    assert.deepEqual([told[0]?.hasEnded, told.at(-1)?.hasEnded], [false, true]);
  });
});

describe('serveOperators', () => {
  async function serve(...roles: WorkerRole[]) {
    const store = createMemoryStore({ minBytes: 1, maxParts: 1 });
    await store.put('pauses', Buffer.from(JSON.stringify({ all: 7, upstreams: {} })));
    const upstream: ReturnType<typeof watched>['upstream'] & { pause: UpstreamPause | null } = { ...watched().upstream, pause: null };
    const draining = new AbortController();
    const closing: (() => Promise<void> | void)[] = [];
    const shutdown = { draining: draining.signal, closes: (_: string, close: () => Promise<void> | void) => void closing.push(close) };
    const logger = createLogger({ level: 'fatal', format: 'json' }, 'test');
    await serveOperators({ roles, workerId: 'w', upstreams: [upstream], store, nowMs: Date.now }, shutdown, logger);
    return { store, upstream, draining, closing };
  }

  it('tells that the worker has ended when what was opened later is closed, and not while it drains', async () => {
    const { store, draining, closing } = await serve('workflows', 'requests');
    const told = (): WorkerState => JSON.parse(String(store.objects.get('workers/w')));
    draining.abort();
    await until(() => store.objects.has('workers/w'), { what: 'a state' });
    await setImmediate();
    assert.equal(told().hasEnded, false);
    for (const close of closing) await close();
    assert.equal(told().hasEnded, true);
  });

  it('applies pauses in a process that sends requests, and does nothing in others', async () => {
    const sends = await serve('requests');
    sends.draining.abort();
    for (const close of sends.closing) await close();
    assert.equal(sends.upstream.pause?.what, 'everything');
    const other = await serve('workflows', 'control');
    other.draining.abort();
    assert.deepEqual([other.upstream.pause, other.closing, [...other.store.objects.keys()]], [null, [], ['pauses']]);
  });
});

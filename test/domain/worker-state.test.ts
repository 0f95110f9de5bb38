import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sumWorkers, type GateState, type WorkerState } from '../../src/domain/worker-state.ts';

const NOW_MS = 10_000_000_000;
const AT = NOW_MS / 1000 - 60;

function worker(given: Partial<WorkerState> & { gates?: GateState[] } = {}): WorkerState {
  const { gates = [], ...rest } = given;
  const rates = { answers: 1.5, refusals: 0, faults: 0.5 };
  const minutes = [{ at: AT, limit: 4, inFlight: 2, answers: 90, refusals: 0, faults: 30 }];
  const upstream = {
    name: 'gpu',
    quietUntil: null,
    waiting: 1,
    servers: [{ server: 'a:80', limit: 4, inFlight: 2, rates, gates }],
    minutes,
  };
  return { atMs: NOW_MS - 5_000, hasEnded: false, upstreams: [upstream], ...rest };
}

describe('sumWorkers', () => {
  it('adds what workers tell of a server, and keeps each gate once with its earliest time', () => {
    const gate = (sinceMs: number): GateState => ({ model: null, kind: 'refused', serverSays: '429', sinceMs });
    const sum = sumWorkers([worker({ gates: [gate(20)] }), worker({ gates: [gate(10)] })], NOW_MS).get('gpu');
    assert.deepEqual(sum, {
      workers: 2,
      quietUntil: null,
      waiting: 2,
      servers: [{ server: 'a:80', limit: 8, inFlight: 4, rates: { answers: 3, refusals: 0, faults: 1 }, gates: [gate(10)] }],
      minutes: [{ at: AT, limit: 8, inFlight: 4, answers: 180, refusals: 0, faults: 60 }],
    });
  });

  it('counts a worker that has ended, or is gone, in the minutes of the last hour only', () => {
    for (const gone of [worker({ hasEnded: true }), worker({ atMs: NOW_MS - 40_000 })]) {
      const sum = sumWorkers([gone], NOW_MS).get('gpu');
      assert.deepEqual([sum?.workers, sum?.servers, sum?.minutes.length], [0, [], 1]);
    }
    assert.deepEqual(sumWorkers([worker()], NOW_MS + 2 * 3_600_000).get('gpu')?.minutes, []);
  });
});

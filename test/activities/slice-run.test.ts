import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ApplicationFailure } from '@temporalio/activity';
import type { Attempt } from '../../src/domain/attempt.ts';
import { createIntake } from '../../src/upstream/admission/intake.ts';
import { Permit } from '../../src/upstream/admission/permit.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import { chatLine } from '../helpers/lines.ts';
import { freePort } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';
import { attempt, createStageUpstreams, slice, type Stage, startStage } from './stage.ts';

let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(async () => await stage[Symbol.asyncDispose]());
beforeEach(() => stage.upstream.reset());

const scripted = (...scripts: string[]) => scripts.map((script, at) => chatLine(`line-${at + 1}`, script)).join('\n');
const callsOf = (marker: string) => stage.upstream.calls.get(marker)?.length ?? 0;

/** The upstream of the stage, changed. */
function upstreamWith(changes: Partial<Upstream>): Map<string, Upstream> {
  const upstream = stage.deps.upstreams.get('example');
  assert.ok(upstream);
  return new Map([['example', { ...upstream, ...changes }]]);
}

describe('runSlice', () => {
  it('gives room to others while lines wait out their refusals, and owes none when it is over', async () => {
    const intake = createIntake({ limit: () => 1, maxSlices: 100 });
    const room = () => {
      const taken = [];
      for (let next = intake.reserveNow(); next !== null; next = intake.reserveNow()) {
        next.end();
        taken.push(intake.take(1));
      }
      for (const each of taken) each[Symbol.dispose]();
      return taken.length;
    };
    const worker = stage.worker({ upstreams: upstreamWith({ intake }) });
    const batch = await stage.begin(scripted('marker=a; status=503,200', 'marker=b; status=503,200', 'marker=hanging; mode=hang'));
    const { run, cancel } = attempt();
    const running = run(worker.runRequests, slice(batch, 1, 3, { cancelGraceMs: 0 }));
    await until(() => ['a', 'b', 'hanging'].every((marker) => callsOf(marker) === 1), { what: 'three calls', everyMs: 5 });
    await until(() => room() === 1, { what: 'room for the second of two lines', everyMs: 5 });
    assert.equal(callsOf('a') + callsOf('b'), 2, 'they wait still');
    await until(async () => (await stage.entries(batch)).length === 2, { what: 'the refused ones to be answered' });
    cancel();
    assert.equal((await running).completed, 2);
    assert.equal(room(), 2);
  });

  it('holds no answer of a refused request in memory while its line waits for the next try', async () => {
    const upstream = stage.deps.upstreams.get('example');
    assert.ok(upstream);
    const answers: WeakRef<Attempt>[] = [];
    const enter: Upstream['enter'] = async (entrant, signal) => {
      const entry = await upstream.enter(entrant, signal);
      if (!(entry instanceof Permit)) return entry;
      const send = entry.send.bind(entry);
      entry.send = async (...given) => {
        const attempt = await send(...given);
        answers.push(new WeakRef(attempt));
        return attempt;
      };
      return entry;
    };
    stage.upstream.set({ retryAfter: 60 });
    const batch = await stage.begin(scripted('status=503', 'mode=hang'));
    const { run, cancel } = attempt();
    const running = run(stage.worker({ upstreams: upstreamWith({ enter }) }).runRequests, slice(batch, 1, 2, { cancelGraceMs: 0 }));
    await until(() => answers.length === 1, { what: 'the refusal', everyMs: 5 });
    setFlagsFromString('--expose-gc');
    const collectGarbage: () => void = runInNewContext('gc');
    await until(() => (collectGarbage(), answers[0]?.deref() === undefined), {
      what: 'the answer to be collected',
      everyMs: 100,
      seconds: 5,
    });
    cancel();
    await running;
  });

  it('leaves what an upstream that is away holds back to Temporal, where that holds a budget of requests', async () => {
    const away = { url: `http://127.0.0.1:${await freePort()}` };
    const worker = stage.worker({ upstreams: createStageUpstreams(away, { requestsPerMinute: 600 }) });
    const batch = await stage.begin(scripted('marker=held'));
    const { run, beats } = attempt();
    await assert.rejects(run(worker.runRequests, slice(batch, 1, 1)), (error) => {
      assert.ok(error instanceof ApplicationFailure);
      assert.deepEqual(
        [error.type, error.message, error.category, error.nonRetryable],
        ['UpstreamUnavailable', 'upstream example was unavailable', 'BENIGN', false],
      );
      assert.ok(Number(error.nextRetryDelay) > 0);
      return true;
    });
    const last = beats.at(-1);
    assert.deepEqual([last?.['ended'], last?.['faults'], last?.['refusals']], [true, 0, 0]);
    const again = attempt({ attempt: 2, heartbeatDetails: last });
    assert.equal((await again.run(stage.worker().runRequests, slice(batch, 1, 1))).completed, 1);
  });

  it('never asks Temporal to try again after no time at all, which would be the end of it', async () => {
    stage.upstream.set({ retryAfter: 0 });
    const worker = stage.worker({ upstreams: upstreamWith({ requestsPerMinute: 600 }) });
    const batch = await stage.begin(scripted('status=429'));
    const { run } = attempt();
    await assert.rejects(run(worker.runRequests, slice(batch, 1, 1)), (error) => {
      assert.ok(error instanceof ApplicationFailure);
      assert.deepEqual([error.type, Number(error.nextRetryDelay) >= 1], ['UpstreamRefusal', true]);
      return true;
    });
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '../helpers/until.ts';
import { isRequest, isSignalMoment, isWrite } from './moments.ts';
import { assertTaken, type Scene, type Stage, startStage } from './stage.ts';

describe('a worker that ends at an exact moment, and a batch that is cancelled at one', () => {
  let stage: Stage;
  let cancelled: Scene[];
  before(async () => (stage = await startStage(['drain', 'kill', 'kill-cancel', 'cancel'], { sweepSeconds: 300, workers: 3 })));
  after(async () => await stage[Symbol.asyncDispose]());

  it('drains on SIGTERM at every request, and no line is sent twice', { timeout: 300_000 }, async (t) => {
    const [first, ...others] = stage.house.workers;
    assert.ok(first);
    const scenes = await stage.bringToMoments({ act: 'drain', chosen: isRequest });
    const stopped = first.stop('SIGTERM');
    for (const { hold } of scenes) hold.release();
    assert.equal(await stopped, 0);
    await Promise.all(others.map(async (worker) => await worker.start()));
    await stage.checkEnds(t, scenes, ({ batch, answers }) => {
      assert.equal(batch.status, 'completed');
      assert.deepEqual(new Set(answers), new Set([1]));
    });
  });

  it(
    'is killed at every moment, and nothing is lost or doubled, also where nobody works when the cancel comes',
    {
      timeout: 300_000,
    },
    async (t) => {
      const [first, ...others] = stage.house.workers;
      assert.ok(first);
      const scenes = await stage.bringToMoments({ act: 'kill' }, { act: 'kill-cancel', chosen: isWrite });
      const killed = scenes.filter(({ act }) => act === 'kill');
      const orphaned = scenes.filter(({ act }) => act === 'kill-cancel');
      await Promise.all(others.map(async (worker) => await worker.stop('SIGKILL')));
      for (const { hold } of scenes) hold.drop();
      await Promise.all(orphaned.map(async (scene) => assertTaken(scene, await stage.cancel(scene))));
      await first.start();
      await until(async () => await stage.house.isWorking(first), { what: 'the other worker to work' });
      // Half a minute passes until a worker is missed, which the batches of the next test use.
      cancelled = await stage.bringToMoments({ act: 'cancel', chosen: isSignalMoment });
      await Promise.all(cancelled.map(async (scene) => assertTaken(scene, await stage.cancel(scene))));
      for (const { hold } of cancelled) hold.release();
      await stage.checkEnds(t, killed, ({ batch, answers }, { moment }) => {
        assert.equal(batch.status, 'completed');
        // Only where the pieces did not reach the bucket is anything sent again.
        assert.equal(Math.max(...answers), moment.name === 'before-piece' ? 2 : 1);
      });
      await stage.checkEnds(t, orphaned, ({ batch, answers }, { moment }) => {
        assert.equal(batch.status, moment.cancelled, JSON.stringify(batch));
        assert.ok(Math.max(...answers) <= 1, `answered ${answers.join(' ')} times`);
      });
    },
  );

  it('ends as it should when it is cancelled', { timeout: 240_000 }, async (t) => {
    await stage.checkEnds(t, cancelled, ({ batch, answers }, { moment }) => {
      assert.equal(batch.status, moment.cancelled, JSON.stringify(batch));
      assert.ok(Math.max(...answers) <= 1, `answered ${answers.join(' ')} times`);
    });
  });
});

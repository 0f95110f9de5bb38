import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { isRequest, isSignalMoment } from './moments.ts';
import { assertTaken, type Scene, type Stage, startStage } from './stage.ts';

/** Long enough for a cancel to be answered on a busy machine, and short enough for both to be heard together. */
const CANCEL_BEFORE_END_MS = 500;
/** A batch that went on would have ended by then. */
const PAUSED_MS = 5_000;

/** What has not run yet has no promise to keep; it ends without files. */
describe('a batch whose end arrives at an exact moment', () => {
  let stage: Stage;
  let terminated: Scene[];
  before(async () => {
    stage = await startStage(['terminate', 'expire', 'both', 'cancel', 'pause', 'drain'], { sweepSeconds: 15, workers: 2, working: 2 });
    // The sweep looks after what is a minute old: these begin first and end last.
    terminated = await stage.bringToMoments({ act: 'terminate', chosen: isRequest });
    const connection = await Connection.connect({ address: `127.0.0.1:${stage.house.temporalPort}` });
    const { workflow } = new Client({ connection });
    // One whose terminal record is written may have ended.
    await Promise.all(terminated.map(async ({ batch }) => await workflow.getHandle(batch.id).terminate('by hand')));
    await connection.close();
    for (const { hold } of terminated) hold.release();
  });
  after(async () => await stage[Symbol.asyncDispose]());

  it('ends as it should when its window ends, alone and together with a cancel', { timeout: 240_000 }, async (t) => {
    const leftMs = ({ batch }: Scene) => (batch.expires_at ?? 0) * 1000 - Date.now();
    const tooLate = new Set<Scene>();
    const mayBeTooLate = ({ moment }: Scene) => moment.expired === 'expired';
    const passTheEnd = async (scene: Scene) => {
      await delay(leftMs(scene) - CANCEL_BEFORE_END_MS);
      if (scene.act === 'both') {
        const status = await stage.cancel(scene);
        // A batch of which nothing ran waits for nothing: it may have ended before the cancel came.
        if (status === 409 && mayBeTooLate(scene) && leftMs(scene) <= 0) tooLate.add(scene);
        else assertTaken(scene, status);
      }
      // The timers of the windows are Temporal's, which has many at a time.
      await delay(Math.max(0, leftMs(scene)) + 1_500);
      scene.hold.release();
    };
    // One after the other, so that the windows are long enough for as many; the first ones wait for their end meanwhile.
    const expiring = await stage.bringToMoments({ act: 'expire', window: '28s', chosen: isSignalMoment });
    const expired = Promise.all(expiring.map(passTheEnd));
    const both = await stage.bringToMoments({ act: 'both', window: '28s', chosen: isRequest });
    await Promise.all([expired, ...both.map(passTheEnd)]);
    // If all were too late, no cancel would have come together with the end of a window.
    const excusable = both.filter(mayBeTooLate).length;
    assert.ok(tooLate.size < excusable, `${tooLate.size} of ${excusable} cancels came too late`);
    for (const scenes of [expiring, both]) {
      await stage.checkEnds(t, scenes, ({ batch, answers }, scene) => {
        const { expired, both: cancelledToo } = scene.moment;
        assert.equal(batch.status, scenes === expiring || tooLate.has(scene) ? expired : cancelledToo, JSON.stringify(batch));
        assert.ok(Math.max(...answers) <= 1, `answered ${answers.join(' ')} times`);
      });
    }
  });

  it('ends as it should when it is cancelled', { timeout: 240_000 }, async (t) => {
    const scenes = await stage.bringToMoments({ act: 'cancel', chosen: isSignalMoment });
    await Promise.all(scenes.map(async (scene) => assertTaken(scene, await stage.cancel(scene))));
    for (const { hold } of scenes) hold.release();
    await stage.checkEnds(t, scenes, ({ batch, answers }, { moment }) => {
      assert.equal(batch.status, moment.cancelled, JSON.stringify(batch));
      assert.ok(Math.max(...answers) <= 1, `answered ${answers.join(' ')} times`);
    });
  });

  it('does not end while it is paused, and sends no line twice when it goes on', { timeout: 240_000 }, async (t) => {
    const scenes = await stage.bringToMoments({ act: 'pause', chosen: isRequest });
    const statuses = await Promise.all(scenes.map(async (scene) => await stage.steer(scene, 'pause')));
    const paused = scenes.filter((_, at) => statuses[at] === 200);
    // From `finalizing` on there is nothing to hold back.
    assert.deepEqual(new Set(statuses), new Set([200, 409]));
    for (const { hold } of scenes) hold.release();
    await delay(PAUSED_MS);
    for (const scene of paused) {
      const batch = await stage.get(scene);
      assert.ok(batch !== null && ['validating', 'in_progress'].includes(batch.status), `${scene.tenant} is ${batch?.status}`);
    }
    for (const scene of paused) assert.equal(await stage.steer(scene, 'resume'), 200);
    await stage.checkEnds(t, scenes, ({ batch, answers }) => {
      assert.equal(batch.status, 'completed');
      assert.deepEqual(new Set(answers), new Set([1]));
    });
  });

  it('completes, and no line is sent twice, when its workers drain on SIGTERM', { timeout: 300_000 }, async (t) => {
    const { workers } = stage.house;
    const scenes = await stage.bringToMoments({ act: 'drain', chosen: isRequest });
    const stopped = workers.map(async (worker) => await worker.stop('SIGTERM'));
    for (const { hold } of scenes) hold.release();
    assert.deepEqual(await Promise.all(stopped), [0, 0]);
    await workers[0]?.start();
    await stage.checkEnds(t, scenes, ({ batch, answers }) => {
      assert.equal(batch.status, 'completed');
      assert.deepEqual(new Set(answers), new Set([1]));
    });
  });

  it('is started again by the sweep when it was terminated in Temporal, and completes', { timeout: 300_000 }, async (t) => {
    await stage.checkEnds(t, terminated, ({ batch, answers }) => {
      assert.equal(batch.status, 'completed');
      assert.deepEqual(new Set(answers), new Set([1]));
    });
  });
});

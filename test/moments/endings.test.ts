import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { type Scene, type Stage, startStage } from './stage.ts';

/** What has not run yet has no promise to keep; it ends without files. */
describe('a batch whose end arrives at an exact moment', () => {
  let stage: Stage;
  let terminated: Scene[];
  before(async () => {
    stage = await startStage(['terminate', 'cancel', 'expire', 'both']);
    // The sweep looks after what is a minute old: these begin first and end last.
    terminated = await stage.bringToMoments('terminate');
    const connection = await Connection.connect({ address: `127.0.0.1:${stage.house.temporalPort}` });
    const { workflow } = new Client({ connection });
    // One whose terminal record is written may have ended.
    await Promise.all(terminated.map(async ({ batch }) => await workflow.getHandle(batch.id).terminate('by hand')));
    await connection.close();
    for (const { hold } of terminated) hold.release();
  });
  after(async () => await stage[Symbol.asyncDispose]());

  it('ends as it should when it is cancelled', { timeout: 240_000 }, async (t) => {
    const scenes = await stage.bringToMoments('cancel');
    await Promise.all(scenes.map(async (scene) => assertCancelled(scene, await statusOfCancel(scene))));
    for (const { hold } of scenes) hold.release();
    await endAs(t, scenes, ({ moment }) => moment.cancelled);
  });

  it('ends as it should when its window ends, alone and together with a cancel', { timeout: 240_000 }, async (t) => {
    const [expiring, both] = await Promise.all(['expire', 'both'].map(async (act) => await stage.bringToMoments(act, { window: '28s' })));
    assert.ok(expiring && both);
    const all = [...expiring, ...both];
    const leftMs = ({ batch }: Scene) => (batch.expires_at ?? 0) * 1000 - Date.now();
    // Just before its own end, which may be some seconds before that of the last batch.
    const tooLate = new Set<Scene>();
    const cancelAtTheEnd = async (scene: Scene) => {
      await delay(leftMs(scene) - 200);
      const status = await statusOfCancel(scene);
      // A batch of which nothing ran waits for nothing: it may have ended before the cancel came.
      if (status === 409 && scene.moment.expired === 'expired' && leftMs(scene) <= 0) tooLate.add(scene);
      else assertCancelled(scene, status);
    };
    await Promise.all(both.map(cancelAtTheEnd));
    // The timers of the windows are Temporal's, which has many at a time.
    await delay(Math.max(0, ...all.map(leftMs)) + 1_500);
    for (const { hold } of all) hold.release();
    await endAs(t, expiring, ({ moment }) => moment.expired);
    await endAs(t, both, (scene) => (tooLate.has(scene) ? scene.moment.expired : scene.moment.both));
  });

  it('is started again by the sweep when it was terminated in Temporal, and completes', { timeout: 300_000 }, async (t) => {
    await stage.ended(terminated, 240);
    for (const scene of terminated) {
      await t.test(scene.tenant, async () => {
        const { batch, answers } = await stage.assertWhole(scene);
        assert.equal(batch.status, 'completed');
        assert.deepEqual(new Set(answers), new Set([1]));
      });
    }
  });

  async function statusOfCancel({ tenant, batch }: Scene): Promise<number | undefined> {
    return (await stage.client.ask(tenant, 'POST', `/v1/batches/${batch.id}/cancel`))?.status;
  }

  function assertCancelled({ tenant, moment }: Scene, status: number | undefined): void {
    assert.equal(status, moment.cancelled === 'completed' ? 409 : 200, tenant);
  }

  async function endAs(t: TestContext, scenes: readonly Scene[], statusOf: (scene: Scene) => string): Promise<void> {
    await stage.ended(scenes, 120);
    for (const scene of scenes) {
      await t.test(scene.tenant, async () => {
        const { batch, answers } = await stage.assertWhole(scene);
        assert.equal(batch.status, statusOf(scene), JSON.stringify(batch));
        assert.ok(
          answers.every((times) => times <= 1),
          `answered ${answers.join(' ')} times`,
        );
      });
    }
  }
});

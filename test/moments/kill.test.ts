import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type Scene, type Stage, startStage } from './stage.ts';

describe('a worker that ends at an exact moment', () => {
  let stage: Stage;
  before(async () => (stage = await startStage(['drain', 'kill'])));
  after(async () => await stage[Symbol.asyncDispose]());

  it('drains on SIGTERM at every moment, and no line is sent twice', { timeout: 300_000 }, async (t) => {
    const [first, second] = stage.house.workers;
    assert.ok(first && second);
    const scenes = await stage.bringToMoments('drain');
    const stopped = first.stop('SIGTERM');
    for (const { hold } of scenes) hold.release();
    assert.equal(await stopped, 0);
    await second.start();
    await stage.ended(scenes, 150);
    await checkAll(t, scenes, (answers) => assert.deepEqual(new Set(answers), new Set([1])));
  });

  it('is killed at every moment, and nothing is lost or doubled', { timeout: 300_000 }, async (t) => {
    const [first, second] = stage.house.workers;
    assert.ok(first && second);
    const scenes = await stage.bringToMoments('kill', { withParts: true });
    await second.stop('SIGKILL');
    for (const { hold } of scenes) hold.drop();
    await first.start();
    await stage.ended(scenes, 150);
    // Only where the pieces did not reach the bucket is anything sent again.
    await checkAll(t, scenes, (answers, { moment }) => assert.equal(Math.max(...answers), moment.name === 'before-piece' ? 2 : 1));
  });

  async function checkAll(t: TestContext, scenes: readonly Scene[], check: (answers: number[], scene: Scene) => void): Promise<void> {
    for (const scene of scenes) {
      await t.test(scene.moment.name, async () => {
        const { batch, answers } = await stage.assertWhole(scene);
        assert.equal(batch.status, 'completed');
        check(answers, scene);
      });
    }
  }
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { bucketOf } from '../chaos/bucket.ts';
import { leftovers, startADayLater } from '../chaos/leftovers.ts';
import { until } from '../helpers/until.ts';
import { type Stage, startStage } from './stage.ts';

describe('a worker that is paused at an exact moment and goes on when others have done its work', () => {
  let stage: Stage;
  before(async () => (stage = await startStage(['zombie'])));
  after(async () => await stage[Symbol.asyncDispose]());

  it('changes nothing, whatever it was about to write', { timeout: 540_000 }, async (t) => {
    const { house, client } = stage;
    const [zombie, successor] = house.workers;
    assert.ok(zombie && successor);
    const scenes = await stage.bringToMoments('zombie', { withParts: true });
    zombie.pause();
    // Or Temporal would give the zombie's open polls half of the second attempts, each of which costs another 30 s.
    const link = house.links.get(zombie)?.temporal;
    link?.cut();
    await link?.heal();
    await successor.start();
    await stage.ended(scenes, 180);
    const before = await Promise.all(scenes.map(async (scene) => JSON.stringify(await stage.get(scene))));
    // A reader deletes a file that the zombie is about to write.
    const deleted = scenes.find(({ moment }) => moment.name === 'before-bytes-of-a-file');
    const deletedId = deleted === undefined ? null : (await stage.get(deleted))?.output_file_id;
    assert.ok(deleted && deletedId);
    await stage.assertWhole(deleted);
    assert.equal((await client.ask(deleted.tenant, 'DELETE', `/v1/files/${deletedId}`))?.status, 200);
    // The sweep takes what nobody needs any more, under the zombie's feet.
    await until(async () => (await leftovers(house, { below: ['work/', 'open/'] })).length === 0, { what: 'the sweep' });

    // First the requests that were on their way arrive, then the process goes on.
    for (const { hold } of scenes) hold.release();
    zombie.resume();
    assert.equal(await zombie.stop('SIGTERM'), 0);

    for (const [index, scene] of scenes.entries()) {
      if (scene === deleted) continue;
      await t.test(scene.moment.name, async () => {
        const { batch, answers } = await stage.assertWhole(scene);
        assert.equal(batch.status, 'completed');
        assert.equal(JSON.stringify(batch), before[index], 'a terminal record never changes');
        assert.equal(Math.max(...answers), scene.moment.name === 'before-piece' ? 2 : 1);
      });
    }
    await t.test('does not bring back what was deleted', async () => {
      assert.equal((await client.ask(deleted.tenant, 'GET', `/v1/files/${deletedId}`))?.status, 404);
    });
    await t.test('leaves nothing behind that the sweep does not take', async () => {
      await successor.stop();
      await startADayLater(successor);
      const below = ['work/', 'open/', 'uploads/', `content/${deleted.tenant}/${deletedId}`];
      await until(async () => (await leftovers(house, { below })).length === 0, { what: 'the sweep', seconds: 120 }).catch(async () =>
        assert.deepEqual(await leftovers(house, { below }), []),
      );
      assert.deepEqual(await bucketOf(house).halfUploads(), []);
    });
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { bucketOf } from '../chaos/bucket.ts';
import { leftovers, startADayLater } from '../chaos/leftovers.ts';
import { until } from '../helpers/until.ts';
import { isWrite, type Moment } from './moments.ts';
import { assertTaken, type Stage, startStage } from './stage.ts';

/**
 * Until the zombies go on, the others find what a killed worker leaves behind: what it was about to write is not there, and Temporal misses it
 * after the same time. So every end that is reached by then is the end after a kill at this moment as well.
 */
describe('a worker that is lost at an exact moment, and goes on when others have done its work', () => {
  let stage: Stage;
  before(
    async () => (stage = await startStage(['zombie', 'zombie-cancel', 'zombie-expire'], { workers: 3, working: 2, sweepSeconds: 20 })),
  );
  after(async () => await stage[Symbol.asyncDispose]());

  it('costs no result, doubles none, and changes nothing any more, whatever it was about to write', { timeout: 540_000 }, async (t) => {
    const { house, client } = stage;
    const [zombies, successor] = [house.workers.slice(0, 2), house.workers[2]];
    assert.ok(successor);
    const scenes = await stage.bringToMoments(
      { act: 'zombie' },
      { act: 'zombie-cancel', chosen: isWrite },
      { act: 'zombie-expire', chosen: isWrite, window: '28s' },
    );
    const [kept, cancelled, expired] = ['zombie', 'zombie-cancel', 'zombie-expire'].map((act) =>
      scenes.filter((scene) => scene.act === act),
    );
    assert.ok(kept && cancelled && expired);
    for (const zombie of zombies) {
      zombie.pause();
      // Or Temporal would give the zombie's open polls a part of the second attempts, each of which costs another 30 s.
      const link = house.links.get(zombie)?.temporal;
      link?.cut();
      await link?.heal();
    }
    await Promise.all(cancelled.map(async (scene) => assertTaken(scene, await stage.cancel(scene))));
    // By the time the zombies are missed, the short windows have ended.
    await successor.start();
    await stage.ended(scenes, 180);
    const before = new Map(await Promise.all(scenes.map(async (scene) => [scene, JSON.stringify(await stage.get(scene))] as const)));
    // A reader deletes a file that a zombie is about to write.
    const deleted = kept.find(({ moment }) => moment.name === 'before-bytes-of-a-file');
    const deletedId = deleted === undefined ? null : (await stage.get(deleted))?.output_file_id;
    assert.ok(deleted && deletedId);
    await stage.assertWhole(deleted);
    assert.equal((await client.ask(deleted.tenant, 'DELETE', `/v1/files/${deletedId}`))?.status, 200);
    // The sweep takes what nobody needs any more, before the zombies go on.
    await until(async () => (await leftovers(house, { below: ['work/', 'open/'] })).length === 0, { what: 'the sweep' });

    // First the requests that were on their way arrive, then the processes go on.
    for (const { hold } of scenes) hold.release();
    for (const zombie of zombies) zombie.resume();
    assert.deepEqual(await Promise.all(zombies.map(async (zombie) => await zombie.stop('SIGTERM'))), [0, 0]);

    const rest = kept.filter((scene) => scene !== deleted);
    for (const [some, endOf] of [
      [rest, () => 'completed'],
      [cancelled, () => 'cancelled'],
      // Answers that were never stored are lost, and after the end of the window nobody asks for them again.
      [expired, ({ name, expired }: Moment) => (name === 'before-piece' ? 'expired' : expired)],
    ] as const) {
      await stage.checkEnds(t, some, ({ batch, answers }, scene) => {
        assert.equal(batch.status, endOf(scene.moment), JSON.stringify(batch));
        assert.equal(JSON.stringify(batch), before.get(scene), 'a terminal record never changes');
        // Only where the pieces did not reach the bucket is anything sent again.
        const most = Math.max(...answers);
        if (some === rest) assert.equal(most, scene.moment.name === 'before-piece' ? 2 : 1, answers.join(' '));
        else assert.ok(most <= 1, answers.join(' '));
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

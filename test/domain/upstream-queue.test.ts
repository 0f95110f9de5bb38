import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { newBatchId } from '../../src/domain/ids.ts';
import { MOST_WAITING, type QueueReply, UpstreamQueue } from '../../src/domain/upstream-queue.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;

interface Given {
  tenant?: string;
  model?: string | null;
  weight?: number;
  priority?: number;
  lines?: number;
  hours?: number;
  urgentInHours?: number;
  isAdmitted?: boolean;
}

/** A queue in which ids are short and all batches alike but for what is given. */
function queueOf(capacity: number | null = null) {
  const queue = new UpstreamQueue();
  if (capacity !== null) queue.learn(capacity);
  function enter(batchId: string, given: Given = {}, nowMs = NOW_MS): boolean {
    const { tenant = 'acme', model = null, weight = 1, priority = 3, lines = 1_000, hours = 24, isAdmitted = false } = given;
    const { urgentInHours = hours - 1 } = given;
    const [expiresAtMs, urgentFromMs] = [NOW_MS + hours * HOUR_MS, NOW_MS + urgentInHours * HOUR_MS];
    return queue.enter({ batchId, priority, lines, expiresAtMs, urgentFromMs }, { tenant, model, weight, isAdmitted, nowMs });
  }
  /** Who is admitted now that was not before. */
  function admit(nowMs = NOW_MS): string[] {
    const before = new Set(queue.admittedIds);
    queue.admit(nowMs);
    return queue.admittedIds.filter((id) => !before.has(id));
  }
  return { queue, enter, admit };
}

function ids(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

describe('UpstreamQueue', () => {
  it('admits large batches of a tenant until they want twice the capacity', () => {
    const { queue, enter, admit } = queueOf(100);
    for (const id of ['a', 'b', 'c', 'd']) enter(id);
    assert.equal(admit().length, 2);
    assert.deepEqual([queue.admitted, queue.waiting], [2, 2]);
    assert.deepEqual(admit(), []);
  });

  it('admits as many small batches as there is capacity for, twice', () => {
    const { enter, admit } = queueOf(16);
    for (const id of ids('one-', 100)) enter(id, { lines: 1 });
    assert.equal(admit().length, 32);
  });

  it('admits the next batch when one leaves', () => {
    const { queue, enter, admit } = queueOf(10);
    for (const [index, id] of ['a', 'b', 'c'].entries()) enter(id, { hours: 20 + index });
    assert.deepEqual(admit(), ['a', 'b']);
    queue.leave('a');
    assert.deepEqual(admit(), ['c']);
  });

  it('always admits the first batch of a tenant, however much another tenant has waiting', () => {
    const { enter, admit } = queueOf(4);
    for (const id of ids('many-', 10_000)) enter(id);
    admit();
    enter('other', { tenant: 'globex', lines: 1 });
    assert.deepEqual(admit(), ['other']);
  });

  it('admits the first batch of another model, however much of one model has waiting', () => {
    const { queue, enter, admit } = queueOf(4);
    for (const id of ids('refused-', 100)) enter(id, { model: 'Qwen/Qwen3-8B' });
    admit();
    enter('other', { model: 'gemma' });
    enter('several', { model: null });
    assert.deepEqual(admit(), ['other', 'several']);
    assert.deepEqual(
      queue.list(1).map(({ tenant, model }) => [tenant, model]),
      [
        ['acme', 'Qwen/Qwen3-8B'],
        ['acme', 'gemma'],
        ['acme', null],
      ],
    );
  });

  it('orders by urgency, priority, end of the window and age', () => {
    const older = newBatchId(NOW_MS - 5_000, '0'.repeat(20));
    const younger = newBatchId(NOW_MS, 'f'.repeat(20));
    const { queue, enter, admit } = queueOf(1);
    const expected = ['urgent', 'priority', 'deadline', older, younger];
    enter(younger);
    enter('deadline', { hours: 23, urgentInHours: 22 });
    enter('urgent', { priority: 5, hours: 48, urgentInHours: -1 });
    enter(older);
    enter('priority', { priority: 2, hours: 30 });
    const order: string[] = [];
    for (let admitted = admit(); admitted.length > 0; admitted = admit()) {
      order.push(...admitted);
      for (const id of admitted) queue.leave(id);
    }
    assert.deepEqual(order, expected);
  });

  it('puts a batch in front when it becomes urgent', () => {
    const { queue, enter, admit } = queueOf(1);
    for (const id of ['a', 'b', 'c']) enter(id, { hours: 10 });
    admit();
    enter('late', { priority: 5, hours: 20, urgentInHours: 5 });
    assert.deepEqual(admit(NOW_MS + 4 * HOUR_MS), []);
    assert.equal(queue.nextUrgentMs, NOW_MS + 5 * HOUR_MS);
    assert.deepEqual(admit(NOW_MS + 5 * HOUR_MS), ['late']);
  });

  it('admits a more urgent batch whatever less urgent ones of its tenant run', () => {
    const { enter, admit } = queueOf(10);
    for (const id of ids('low-', 5)) enter(id, { priority: 4 });
    assert.equal(admit().length, 2);
    enter('high', { priority: 1 });
    assert.deepEqual(admit(), ['high']);
    enter('equal', { priority: 4, hours: 2 });
    assert.deepEqual(admit(), []);
  });

  it('admits no more of equal batches that come with the oldest last, as after a restart', () => {
    const { enter, admit } = queueOf(10);
    let admitted = 0;
    for (let age = 0; age < 500; age++) {
      enter(newBatchId(NOW_MS - age * 1_000, '0'.repeat(20)), { hours: 24 - age / 100 });
      admitted += admit().length;
    }
    assert.equal(admitted, 2);
  });

  it('shares by the weights of the tenants that have batches', () => {
    const { queue, enter, admit } = queueOf(50);
    for (const id of ids('a-', 200)) enter(id, { lines: 1, tenant: 'acme', weight: 3 });
    for (const id of ids('g-', 200)) enter(id, { lines: 1, tenant: 'globex', weight: 1 });
    admit();
    assert.deepEqual(
      queue.list(1).map(({ tenant, share, allWaiting }) => [tenant, share, allWaiting]),
      [
        ['acme', 75, 125],
        ['globex', 25, 175],
      ],
    );
    for (const id of ids('g-', 200)) queue.leave(id);
    assert.equal(admit().length, 25);
  });

  it('admits more when the capacity grows, and takes nothing back when it shrinks', () => {
    const { queue, enter, admit } = queueOf(2);
    for (const id of ids('one-', 100)) enter(id, { lines: 1 });
    assert.equal(admit().length, 4);
    queue.learn(8);
    assert.equal(admit().length, 12);
    queue.learn(1);
    assert.deepEqual(admit(), []);
    assert.equal(queue.admitted, 16);
  });

  it('assumes some capacity before a worker has told it', () => {
    const { enter, admit } = queueOf();
    for (const id of ids('one-', 100)) enter(id, { lines: 1 });
    assert.equal(admit().length, 64);
  });

  it('bounds how many tenants have a batch admitted, and lets the most urgent begin', () => {
    const { queue, enter, admit } = queueOf(1);
    for (let tenant = 0; tenant < 100; tenant++) enter(`b-${tenant}`, { tenant: `t-${tenant}`, hours: 200 - tenant });
    assert.equal(admit().length, 64);
    assert.ok(queue.admittedIds.includes('b-99') && !queue.admittedIds.includes('b-35'));
    queue.leave('b-99');
    assert.deepEqual(admit(), ['b-35']);
  });

  it('keeps one entry for a batch that enters again, and keeps it admitted', () => {
    const { queue, enter, admit } = queueOf(1);
    for (const id of ['a', 'b', 'c', 'c']) enter(id, { hours: { a: 1, b: 2 }[id] ?? 3 });
    admit();
    enter('a', { hours: 9 });
    assert.deepEqual([queue.admittedIds, queue.waiting], [['b', 'a'], 1]);
    enter('c', { isAdmitted: true });
    assert.deepEqual([queue.admitted, queue.waiting], [3, 0]);
  });

  it('forgets unknown and ended batches, in any order', () => {
    const { queue, enter } = queueOf(1);
    for (const id of ids('x-', 50)) enter(id, { priority: 1 + (id.length % 3), hours: 5 + (id.length % 7) });
    queue.leave('unknown');
    for (const id of ids('x-', 50).toReversed()) queue.leave(id);
    assert.deepEqual([queue.admitted, queue.waiting, queue.list(1)], [0, 0, []]);
  });

  describe('replies', () => {
    const places = (replies: QueueReply[]) => replies.map(({ batchId, place }) => [batchId, place]);

    it('tell each batch once that it may start, and its place when it enters and when the place has halved', () => {
      const { queue, enter, admit } = queueOf(1);
      for (const [index, id] of ids('b-', 10).entries()) enter(id, { lines: 1, hours: 10 + index });
      admit();
      assert.deepEqual(places(queue.replies(3)), [
        ['b-0', null],
        ['b-1', null],
        ['b-2', 1],
      ]);
      assert.equal(queue.replies(100).length, 7);
      assert.deepEqual(queue.replies(100), []);
      for (const id of ['b-0', 'b-1', 'b-2', 'b-3']) queue.leave(id);
      admit();
      // Places 3, 4, 5 to 8 have become 1 to 4: of these, 6, 7 and 8 are 2, 3 and 4.
      assert.deepEqual(places(queue.replies(100)), [
        ['b-4', null],
        ['b-5', null],
        ['b-6', 1],
        ['b-7', 2],
        ['b-8', 3],
        ['b-9', 4],
      ]);
    });

    it('tell a waiting batch about log2(n) times', () => {
      const { queue, enter } = queueOf(1);
      const all = ids('b-', 1_000).map((id) => `${id}-${id.length}`);
      for (const [index, id] of all.entries()) enter(id, { hours: 10 + index });
      let told = 0;
      for (const id of all) {
        told += queue.replies(10_000).filter(({ batchId }) => batchId === all.at(-1)).length;
        queue.leave(id);
      }
      assert.ok(told >= 9 && told <= 12, `${told} times`);
    });

    it('answer a batch that enters again', () => {
      const { queue, enter, admit } = queueOf(1);
      for (const [index, id] of ['a', 'b', 'c'].entries()) enter(id, { hours: 10 + index });
      admit();
      queue.replies(10);
      for (const id of ['b', 'c']) enter(id, { hours: 12 });
      assert.deepEqual(places(queue.replies(10)), [
        ['b', null],
        ['c', 1],
      ]);
    });
  });

  describe('state', () => {
    it('restores who is admitted, who waits, in which order, and what was told', () => {
      const { queue, enter, admit } = queueOf(2);
      for (const [index, id] of ids('b-', 20).entries()) {
        const urgentInHours = index % 5 === 0 ? 3 : 9;
        enter(id, {
          lines: 1,
          hours: 10 + (index % 7),
          priority: 1 + (index % 3),
          tenant: `t-${index % 2}`,
          weight: 1 + (index % 2),
          urgentInHours,
        });
      }
      admit();
      queue.replies(15);
      const restored = new UpstreamQueue(JSON.parse(JSON.stringify(queue.state())));
      assert.deepEqual(restored.state(), queue.state());
      assert.deepEqual(restored.replies(100), queue.replies(100));
      for (let hour = 0; hour < 16; hour++) {
        for (const each of [queue, restored]) {
          each.admit(NOW_MS + hour * HOUR_MS);
          const [first] = each.admittedIds;
          if (first !== undefined) each.leave(first);
        }
        assert.deepEqual(restored.list(50), queue.list(50));
      }
    });

    it('stays below 1.5 MB when full', () => {
      const { queue, enter } = queueOf(64);
      for (let index = 0; index < MOST_WAITING; index++) {
        const id = newBatchId(NOW_MS - index * 1_000, index.toString(16).padStart(20, 'f'));
        enter(id, { hours: 24 + index / 3_600, tenant: `tenant-${index % 50}`, lines: 50_000 });
      }
      queue.replies(MOST_WAITING);
      const bytes = Buffer.byteLength(JSON.stringify(queue.state()));
      assert.ok(bytes < 1_500_000, `${bytes} bytes`);
    });

    it('sends a batch away when too many wait, unless its tenant has none', () => {
      const { queue, enter, admit } = queueOf(1);
      for (let index = 0; index < MOST_WAITING + 2; index++) {
        enter(`b-${index}`);
        if (index < 2) admit();
      }
      assert.equal(queue.waiting, MOST_WAITING);
      assert.equal(enter('more'), false);
      assert.equal(enter('b-77'), true);
      assert.equal(enter('other', { tenant: 'globex' }), true);
      assert.deepEqual(admit(), ['other']);
    });
  });
});

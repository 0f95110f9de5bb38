import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { Connection, ScheduleClient } from '@temporalio/client';
import type OpenAI from 'openai';
import { bucketOf } from '../chaos/bucket.ts';
import { type Client, jsonOf } from '../chaos/client.ts';
import { chatLine, chatLines } from '../helpers/lines.ts';
import { until } from '../helpers/until.ts';
import { copyBucket, linesWithPiece } from './copy-bucket.ts';
import type { Match } from './holding-proxy.ts';
import { type Stage, startStage } from './stage.ts';

const put =
  (folder: string) =>
  (tenant: string): Match =>
  ({ method, path }) =>
    method === 'PUT' && path.includes(`/${folder}/${tenant}/`);

/** Moments in the creation of a batch, and whether the batch is there when the client never asks again. */
const CREATION = [
  { name: 'before-entry', when: 'before', match: put('idempotency'), exists: false },
  { name: 'after-entry', when: 'after', match: put('idempotency'), exists: false },
  { name: 'after-marker', when: 'after', match: put('open'), exists: false },
  { name: 'after-record', when: 'after', match: put('batches'), exists: true },
] as const;
const CLIENTS = ['asks-again', 'stays-away'] as const;
const COPY = 'copy';

/** The API tries for 5 s to start a batch; one that it starts late is not left to the sweep. */
const START_DEADLINE_MS = 6_000;

describe('an API that is killed at an exact moment, and a Temporal whose database is lost', () => {
  let stage: Stage;
  /** In the middle of which the bucket is copied, and their lines that have a piece then. */
  let copied: { batches: { tenant: string; batch: OpenAI.Batch }[]; stored: Set<number> };
  const copiedIds = Array.from({ length: 200 }, (_, index) => `copied-${index + 1}`);
  const tenantOf = (client: string, moment: string) => `${client}-${moment}`;
  before(async () => {
    const tenants = CREATION.flatMap(({ name }) => CLIENTS.map((client) => tenantOf(client, name)));
    stage = await startStage([...tenants, 'upload', 'delete', 'cancel', 'done', 'running', 'gone', 'unheard', 'copied'], { plain: true });
  });
  after(async () => await stage[Symbol.asyncDispose]());

  const ask: Client['ask'] = (...asked) => stage.client.ask(...asked);
  const make = async (
    tenant: string,
    input_file_id: string,
    { window = '24h', headers = {} }: { window?: string; headers?: Record<string, string> } = {},
  ) => {
    const request = JSON.stringify({ input_file_id, endpoint: '/v1/chat/completions', completion_window: window });
    return jsonOf<OpenAI.Batch>(await ask(tenant, 'POST', '/v1/batches', request, headers));
  };
  const submit = async (tenant: string, text: string, window?: string) => {
    const batch = await make(tenant, await stage.upload(tenant, text), window === undefined ? {} : { window });
    assert.ok(batch);
    return { tenant, batch };
  };
  const get = async (which: { tenant: string; batch: OpenAI.Batch }) => await stage.get(which);
  const listed = async (tenant: string) => jsonOf<{ data: OpenAI.Batch[] }>(await ask(tenant, 'GET', '/v1/batches'))?.data ?? [];
  const completed = async (which: Parameters<typeof get>[0]) => (await get(which))?.request_counts?.completed ?? 0;
  const answeredOf = (id: string) => stage.house.calls.filter(({ key, end }) => key.startsWith(`${id}-`) && end === 'answered');
  const customIdsOf = async (which: Parameters<typeof get>[0]) => {
    const file = await ask(which.tenant, 'GET', `/v1/files/${(await get(which))?.output_file_id}/content`);
    const rows = file?.bytes.toString().trimEnd().split('\n') ?? [];
    return rows.map((row) => String(Object(JSON.parse(row))['custom_id']));
  };

  it('keeps every promise that was given, and gives none twice', { timeout: 540_000 }, async (t) => {
    const { house, proxy } = stage;
    const [worker] = house.workers;
    assert.ok(worker);
    const bucket = bucketOf(house);
    // Everything that is to be cut off comes to its moment, and then the API dies.
    const done = await submit('done', chatLines(20, 'done-'));
    const cancelled = await submit('cancel', `${chatLine('slow', 'delay=200000')}\n`);
    const deletedId = await stage.upload('delete', chatLines(1));
    const uploaded = await Promise.all(
      CREATION.flatMap((moment) =>
        CLIENTS.map(async (who) => {
          const tenant = tenantOf(who, moment.name);
          return { moment, who, tenant, fileId: await stage.upload(tenant, chatLines(3)) };
        }),
      ),
    );
    await until(async () => (await get(cancelled))?.status === 'in_progress', { what: 'the slow request to be sent' });
    await until(async () => (await get(done))?.status === 'completed', { what: 'the first batch' });
    const halfDone = await submit('copied', copiedIds.map((id) => chatLine(id, 'delay=1500')).join('\n'));
    await until(async () => (await completed(halfDone)) >= 30, { what: 'some answers' });
    // From here on it must be quick: the API itself gives up a bucket that says nothing for 8 s.
    const creations = uploaded.map(({ moment, who, tenant, fileId }) => {
      const hold = proxy.hold(moment.when, moment.match(tenant));
      return { moment, who, tenant, fileId, hold, asked: make(tenant, fileId, { headers: { 'idempotency-key': 'once' } }) };
    });
    const holds = [
      ...creations.map(({ hold }) => hold),
      proxy.hold('before', put('files')('upload')),
      proxy.hold('after', put('deleted')('delete')),
      proxy.hold(
        'after',
        ({ method, path, body }) => method === 'PUT' && path.includes('/batches/cancel/') && body.includes('"cancelling"'),
      ),
    ];
    const unanswered = [
      stage.upload('upload', chatLines(1)).catch(() => null),
      ask('delete', 'DELETE', `/v1/files/${deletedId}`),
      ask('cancel', 'POST', `/v1/batches/${cancelled.batch.id}/cancel`),
    ];
    await until(() => holds.every(({ isReached }) => isReached), { what: 'the moments' });
    await Promise.all([house.api.stop('SIGKILL'), worker.stop('SIGKILL')]);
    for (const hold of holds) hold.drop();
    assert.deepEqual(new Set(await Promise.all([...unanswered, ...creations.map(({ asked }) => asked)])), new Set([null]));
    await copyBucket(house, COPY);
    copied = { batches: [halfDone, cancelled], stored: await linesWithPiece(house, COPY, halfDone.batch.id) };
    await Promise.all([house.api.start(), worker.start()]);
    await stage.ready();
    for (const { moment, tenant } of creations) {
      if (moment.exists) copied.batches.push(...(await listed(tenant)).map((batch) => ({ tenant, batch })));
    }

    await t.test('a half upload is no file, and its bytes have a marker', async () => {
      assert.deepEqual(jsonOf<{ data: [] }>(await ask('upload', 'GET', '/v1/files'))?.data, []);
      const markers = await Promise.all((await bucket.keys('uploads/')).map(async (key) => String(await bucket.read(key))));
      for (const key of await bucket.keys('content/upload/')) assert.ok(markers.some((marker) => marker.includes(key)));
    });
    await t.test('a deletion that was begun is ended by the next one', async () => {
      assert.equal((await ask('delete', 'DELETE', `/v1/files/${deletedId}`))?.status, 200);
      assert.equal((await ask('delete', 'GET', `/v1/files/${deletedId}`))?.status, 404);
      // The answer does not wait for the bytes.
      await until(async () => (await bucket.keys(`content/delete/`)).length === 0, { what: 'the bytes to go' });
    });
    for (const { moment, who, tenant, fileId } of creations) {
      await t.test(`creation, ${moment.name}, the client ${who}`, async () => {
        if (who === 'stays-away') return assert.equal((await listed(tenant)).length, moment.exists ? 1 : 0);
        const again = await make(tenant, fileId, { headers: { 'idempotency-key': 'once' } });
        assert.deepEqual(
          (await listed(tenant)).map(({ id }) => id),
          [again?.id],
        );
      });
    }

    // Then Temporal forgets everything in the middle of a batch; another is cancelled while it is away.
    const ids = Array.from({ length: 120 }, (_, index) => `running-${index + 1}`);
    const text = ids.map((id) => chatLine(id, 'delay=1500')).join('\n');
    const [running, gone] = [await submit('running', text), await submit('gone', text)];
    await until(async () => (await completed(running)) >= 30 && (await completed(gone)) >= 30, { what: 'some answers' });
    await house.temporal.stop('SIGKILL');
    assert.equal((await get(done))?.status, 'completed');
    const outputId = (await get(done))?.output_file_id;
    assert.equal((await ask('done', 'GET', `/v1/files/${outputId}/content`))?.status, 200);
    assert.equal((await ask('gone', 'POST', `/v1/batches/${gone.batch.id}/cancel`))?.status, 200);
    // Nobody starts it before its window has ended: the sweep looks after what is a minute old.
    const unheard = await submit('unheard', chatLines(3), '28s');
    const submittedMs = performance.now();
    await until(() => performance.now() - submittedMs > START_DEADLINE_MS, { what: 'the API to give up starting it' });
    await house.temporal.start();

    const created = (
      await Promise.all(creations.map(async ({ tenant }) => (await listed(tenant)).map((batch) => ({ tenant, batch }))))
    ).flat();
    const ends = new Map([...created, running].map((which) => [which, 'completed']));
    for (const which of [cancelled, gone]) ends.set(which, 'cancelled');
    ends.set(unheard, 'expired');
    await until(async () => (await Promise.all([...ends].map(async ([which, end]) => (await get(which))?.status === end))).every(Boolean), {
      what: 'all batches to end',
      seconds: 300,
      // Each question refreshes the counts of a batch.
      everyMs: 3_000,
    }).catch(async () => {
      const found = await Promise.all([...ends.keys()].map(async (which) => [which.tenant, (await get(which))?.status]));
      assert.deepEqual(Object.fromEntries(found), Object.fromEntries([...ends].map(([{ tenant }, end]) => [tenant, end])));
    });

    await t.test('schedule and search attributes are back', async () => {
      const connection = await Connection.connect({ address: `127.0.0.1:${house.temporalPort}` });
      const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
      for (const name of ['BatchStatus', 'BatchModel', 'BatchTenant']) assert.ok(name in customAttributes);
      assert.equal((await new ScheduleClient({ connection }).getHandle('nightshift-revive').describe()).scheduleId, 'nightshift-revive');
      await connection.close();
    });
    await t.test('what has a piece is not sent again, and every line has one result', async () => {
      assert.deepEqual((await get(running))?.request_counts, { total: ids.length, completed: ids.length, failed: 0 });
      assert.deepEqual(await customIdsOf(running), ids);
      assert.equal(answeredOf(running.batch.id).length, ids.length);
    });
    await t.test('what is heard of only after its window is not sent', async () => {
      assert.equal((await get(unheard))?.request_counts?.completed, 0);
      assert.deepEqual(answeredOf(unheard.batch.id), []);
    });
  });

  // The copy is older than a minute by now, so that the sweep looks after its batches at once.
  it('goes on from a copy of the bucket that was made in the middle of a batch', { timeout: 300_000 }, async () => {
    const { house } = stage;
    const [worker] = house.workers;
    const [halfDone, cancelled, ...made] = copied.batches;
    assert.ok(worker && halfDone && cancelled && made.length === 2);
    await Promise.all([worker.stop('SIGKILL'), house.api.stop('SIGKILL'), house.temporal.stop('SIGKILL')]);
    const before = house.calls.length;
    for (const part of [house.api, worker]) part.env = { ...part.env, NIGHTSHIFT_S3_BUCKET: COPY };
    await Promise.all([house.temporal.start(), house.api.start(), worker.start()]);
    await stage.ready();
    const statuses = async () => await Promise.all(copied.batches.map(async (which) => (await get(which))?.status));
    const expected = copied.batches.map((which) => (which === cancelled ? 'cancelled' : 'completed'));
    await until(async () => isDeepStrictEqual(await statuses(), expected), {
      what: 'the batches of the copy to end',
      seconds: 200,
      // Each question refreshes the counts of a batch.
      everyMs: 3_000,
    }).catch(async () => assert.deepEqual(await statuses(), expected));
    assert.deepEqual(await customIdsOf(halfDone), copiedIds);
    const sent = house.calls.slice(before).filter(({ key }) => key.startsWith(halfDone.batch.id));
    const lacking = copiedIds.map((_, index) => index + 1).filter((line) => !copied.stored.has(line));
    assert.deepEqual(
      sent.map(({ key }) => Number(key.slice(halfDone.batch.id.length + 1))).toSorted((a, b) => a - b),
      lacking,
    );
    assert.ok(copied.stored.size >= 30 && lacking.length > 0, `${copied.stored.size} lines had a piece`);
  });
});

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { until } from '../helpers/until.ts';
import { assertNothingKept, assertRefused, type HostileApi, startHostileApi } from './hostile-api.ts';

const MINIMAL = { input_file_id: `file-${'0'.repeat(24)}`, endpoint: '/v1/chat/completions', completion_window: '24h' };
const deep = (levels: number, open: string, close: string) => open.repeat(levels) + '1' + close.repeat(levels);
/** A create whose members beyond the required ones are this text. */
const withMembers = (members: string) => `${JSON.stringify(MINIMAL).slice(0, -1)},${members}}`;

describe('hostile JSON', () => {
  let api: HostileApi;
  before(async () => (api = await startHostileApi()));
  after(async () => await api[Symbol.asyncDispose]());

  const create = async (body: string | Uint8Array, headers: Record<string, string> = {}) =>
    await api.fetch('/v1/batches', { method: 'POST', body: typeof body === 'string' ? body : new Uint8Array(body), headers });

  it('of 10,000 levels and more is refused, wherever it stands', async () => {
    for (const levels of [10_000, 150_000]) {
      for (const [open, close] of [
        ['[', ']'],
        ['{"a":', '}'],
      ] as const) {
        const bomb = deep(levels, open, close);
        assertRefused(await create(bomb), [400]);
        for (const name of ['metadata', 'input_file_id', 'endpoint', 'completion_window', 'output_expires_after'])
          assertRefused(await create(withMembers(`"${name}":${bomb}`)), [400]);
        assertRefused(await create(withMembers(`"metadata":{"a":${bomb}}`)), [400]);
      }
      assertRefused(await create('['.repeat(levels)), [400]);
    }
    api.assertSound();
  });

  it('that bursts with members, digits or text is refused with a short answer', async () => {
    const members = Array.from({ length: 40_000 }, (_, index) => `"k${index}":"v"`).join();
    for (const metadata of [
      `{${members}}`,
      `{"${'k'.repeat(500_000)}":"v"}`,
      `{"k":"${'v'.repeat(500_000)}"}`,
      `{"k":"${'\\u0000'.repeat(100_000)}"}`,
      `{"k":${'9'.repeat(500_000)}}`,
      `{"k":1e999}`,
      `[${'"v",'.repeat(100_000)}"v"]`,
      `{"k":{"__proto__":{"toString":1}}}`,
    ]) {
      assertRefused(await create(withMembers(`"metadata":${metadata}`)), [400]);
    }
    for (const name of ['input_file_id', 'endpoint', 'completion_window'])
      assertRefused(await create(JSON.stringify({ ...MINIMAL, [name]: 'x'.repeat(900_000) })), [400]);
    assertRefused(await create(withMembers(`"metadata":{"k":"${'v'.repeat(2 * 1024 * 1024)}"}`)), [413]);
    api.assertSound();
  });

  it('is taken for what it is when members repeat or have names of the language', async () => {
    const answer = await create(withMembers('"metadata":{"a":"1"},"metadata":{"__proto__":"p","constructor":"c","hasOwnProperty":"h"}'));
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.text, /"metadata":\{"__proto__":"p","constructor":"c","hasOwnProperty":"h"\}/);
    assertRefused(await create('{"__proto__":{"input_file_id":"x","endpoint":"/v1/embeddings","completion_window":"24h"}}'), [400]);
  });

  it('of any shape is taken or refused', async () => {
    const hostile = fc.oneof(
      fc.json({ maxDepth: 4 }),
      fc.string({ unit: 'binary', maxLength: 100 }),
      fc
        .record(
          {
            input_file_id: fc.oneof(
              fc.string({ unit: 'binary' }),
              fc.constantFrom('../../x', '\0', '', `file-${'0'.repeat(24)}`),
              fc.anything(),
            ),
            endpoint: fc.oneof(fc.constantFrom('/v1/embeddings', '/v1/../admin', 'constructor'), fc.jsonValue()),
            completion_window: fc.oneof(fc.constantFrom('24h', '__proto__', '1e9h', '-1h'), fc.jsonValue()),
            metadata: fc.oneof(
              fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), { maxKeys: 20 }),
              fc.jsonValue(),
            ),
            output_expires_after: fc.jsonValue(),
          },
          { requiredKeys: [] },
        )
        .map((value) => JSON.stringify(value) ?? ''),
    );
    await fc.assert(
      fc.asyncProperty(hostile, async (body) => {
        const answer = await create(body);
        if (answer.status === 200) assert.equal(JSON.parse(answer.text).status, 'validating');
        else assertRefused(answer, [400]);
      }),
      { numRuns: 300 },
    );
    api.assertSound();
  });

  it('that is no UTF-8 or compressed is refused', async () => {
    const text = Buffer.from(JSON.stringify({ ...MINIMAL, metadata: { k: 'é' } }), 'latin1');
    assertRefused(await create(text), [400]);
    assertRefused(await create(Buffer.from(JSON.stringify(MINIMAL), 'utf16le')), [400]);
    assertRefused(await create(new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]), { 'content-encoding': 'gzip' }), [400]);
    api.assertSound();
  });

  it('comes with hostile idempotency keys and retry counts all the same', async () => {
    for (const headers of [
      { 'idempotency-key': '../../../x' },
      { 'idempotency-key': 'k'.repeat(8000) },
      { 'idempotency-key': '%00' },
      { 'x-stainless-retry-count': '1e999' },
      { 'x-stainless-retry-count': '-1' },
      { 'x-stainless-retry-count': 'NaN' },
    ] as Record<string, string>[]) {
      assert.equal((await create(JSON.stringify(MINIMAL), headers)).status, 200, JSON.stringify(headers).slice(0, 100));
    }
    api.assertSound();
  });

  it('of uploads is refused too', async () => {
    const post = async (path: string, body: string) => await api.fetch(path, { method: 'POST', body });
    const upload = { bytes: 5, filename: 'x', mime_type: 'text/plain', purpose: 'user_data' };
    for (const change of [{ bytes: 1e308 }, { bytes: -1 }, { bytes: 0.5 }, { filename: 'x'.repeat(100_000) }, { purpose: '__proto__' }])
      assertRefused(await post('/v1/uploads', JSON.stringify({ ...upload, ...change })), [400]);
    const { id } = JSON.parse((await post('/v1/uploads', JSON.stringify({ ...upload, filename: '../../\0x' }))).text);
    for (const part_ids of [['../../x'], ['part_'], Array(200_000).fill(''), [`part_${'0'.repeat(32)}`], deep(1, '', ''), [{}]])
      assertRefused(await post(`/v1/uploads/${id}/complete`, JSON.stringify({ part_ids })), [400]);
    assertRefused(await post(`/v1/uploads/${id}/complete`, `{"part_ids":${deep(100_000, '[', ']')}}`), [400]);
    api.assertSound();
  });

  it('takes bounded memory while hundreds of clients stall in the middle of it, and another tenant is served', async () => {
    const before = await api.residentBytes();
    const { port } = new URL(api.origin);
    const start = ['POST /v1/batches HTTP/1.1', 'host: x', 'authorization: Bearer key-a', 'content-length: 1000000', '', '{"a":"'].join(
      '\r\n',
    );
    const stalled = Array.from({ length: 400 }, () => connect(Number(port), '127.0.0.1').on('error', () => {}));
    try {
      for (const socket of stalled) socket.resume().write(start + 'x'.repeat(900_000));
      await until(() => stalled.every((socket) => socket.writableLength === 0 || socket.closed), {
        what: 'bodies to be sent',
        seconds: 120,
      });
      const grown = ((await api.residentBytes()) - before) / 1024 / 1024;
      assert.ok(grown < 200, `${Math.round(grown)} MiB more with 360 MB of bodies under way`);
      assert.equal((await create(JSON.stringify(MINIMAL), { authorization: 'Bearer key-b' })).status, 200);
    } finally {
      for (const socket of stalled) socket.destroy();
    }
    api.assertSound();
  });

  it('keeps no memory of thousands of requests', async () => {
    const bodies = [deep(50_000, '[', ']'), withMembers(`"metadata":{"k":"${'v'.repeat(100_000)}"}`), '{', withMembers('"metadata":7')];
    const volley = async (count: number) => {
      for (let sent = 0; sent < count; sent += 20)
        await Promise.all(Array.from({ length: 20 }, async (_, index) => assertRefused(await create(bodies[index % 4] ?? ''), [400])));
    };
    await assertNothingKept(api, volley);
    api.assertSound();
  });
});

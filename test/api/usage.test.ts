import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Batch } from '../../src/domain/batch.ts';
import type { ModelUsage } from '../../src/domain/usage.ts';
import { DEFAULT_TENANT } from '../../src/domain/tenant.ts';
import { envelopeOf, startWholeTestApi, type TestApi } from './test-api.ts';

let api: TestApi;
before(async () => {
  api = await startWholeTestApi({ settingsOf: (tenant) => ({ ...DEFAULT_TENANT, isOperator: tenant === 'tenant-b' }) });
});
after(async () => await api[Symbol.asyncDispose]());

const SUMS = { requests: 3, failed: 1, input_tokens: 20, output_tokens: 7, total_tokens: 27 };
const OPERATOR = { authorization: 'Bearer key-b' };

/** A batch that has ended at noon of a day. */
async function ended(tenant: 'tenant-a' | 'tenant-b', day: string, usage: ModelUsage[]): Promise<Batch> {
  const client = api.client(tenant === 'tenant-a' ? 'key-a' : 'key-b');
  const { id } = await client.batches.create({ input_file_id: 'file-x', endpoint: '/v1/embeddings', completion_window: '24h' });
  const at = Date.parse(`${day}T12:00:00Z`) / 1000;
  const record = await api.batches.update(tenant, id, (found) => ({
    ...found,
    usage_by_model: usage,
    batch: { ...found.batch, status: 'completed', completed_at: at },
  }));
  assert.ok(record);
  return record.batch;
}

async function ask(query: string, headers = {}): Promise<{ group_by: string[]; data: object[]; from: string; to: string }> {
  const answer = await api.fetch(`/v1/nightshift/usage?${query}`, { headers });
  assert.equal(answer.status, 200, query);
  return Object(await answer.json());
}

describe('GET /v1/nightshift/usage', () => {
  before(async () => {
    for (const [tenant, day, model] of [
      ['tenant-a', '2026-05-01', 'small'],
      ['tenant-a', '2026-05-01', 'small'],
      ['tenant-a', '2026-05-02', null],
      ['tenant-b', '2026-05-02', '=SUM(A1),"x"'],
    ] as const) {
      const { id } = await ended(tenant, day, [{ model, ...SUMS }]);
      // The record goes, and with it everything but its usage.
      const answer = await api.fetch(`/v1/batches/${id}`, { method: 'DELETE', headers: tenant === 'tenant-b' ? OPERATOR : {} });
      assert.equal(answer.status, 200);
    }
  });

  it('sums what a tenant used by day and model, also of batches that are deleted', async () => {
    assert.deepEqual(await ask('from=2026-05-01&to=2026-05-31'), {
      object: 'list',
      from: '2026-05-01',
      to: '2026-05-31',
      group_by: ['day', 'model'],
      data: [
        { day: '2026-05-01', model: 'small', requests: 6, failed: 2, input_tokens: 40, output_tokens: 14, total_tokens: 54 },
        { day: '2026-05-02', model: null, ...SUMS },
      ],
    });
    assert.deepEqual((await ask('from=2026-05-02&to=2026-05-02&group_by=tenant')).data, [{ tenant: 'tenant-a', ...SUMS }]);
  });

  it('shows all tenants to an operator, and the others to no one else', async () => {
    const query = 'from=2026-05-01&to=2026-05-31&group_by=tenant';
    assert.deepEqual(
      (await ask(query, OPERATOR)).data.map((row) => Object(row).tenant),
      ['tenant-a', 'tenant-b'],
    );
    assert.deepEqual(
      (await ask(query)).data.map((row) => Object(row).tenant),
      ['tenant-a'],
    );
  });

  it('answers CSV in which no name is a formula', async () => {
    const answer = await api.fetch('/v1/nightshift/usage?from=2026-05-02&to=2026-05-02&group_by=tenant,model&format=csv', {
      headers: OPERATOR,
    });
    assert.equal(answer.headers.get('content-type'), 'text/csv');
    assert.equal(
      await answer.text(),
      'tenant,model,requests,failed,input_tokens,output_tokens,total_tokens\r\n' +
        'tenant-a,,3,1,20,7,27\r\ntenant-b,"\'=SUM(A1),""x""",3,1,20,7,27\r\n',
    );
  });

  it('answers the last 30 days by default', async () => {
    const { from, to } = await ask('');
    assert.equal(to, new Date().toISOString().slice(0, 10));
    assert.equal((Date.parse(to) - Date.parse(from)) / 86_400_000, 29);
    assert.equal((await ask('to=2026-03-01')).from, '2026-01-31');
  });

  it('answers 400 for a day that there is not, a span that is none or too long, and other words', async () => {
    for (const [query, param] of [
      ['from=yesterday', 'from'],
      ['to=2026-02-30', 'to'],
      ['format=', 'format'],
      ['to=2026-2-3', 'to'],
      ['from=2026-05-02&to=2026-05-01', 'from'],
      ['from=2025-05-01&to=2026-05-31', 'from'],
      ['group_by=key', 'group_by'],
      ['group_by=', 'group_by'],
      ['group_by=day,', 'group_by'],
      ['format=xml', 'format'],
    ] as const) {
      const answer = await api.fetch(`/v1/nightshift/usage?${query}`);
      assert.equal(answer.status, 400, query);
      const error = await envelopeOf(answer);
      assert.deepEqual([error.param, error.code], [param, 'invalid_value'], query);
    }
    const { message } = await envelopeOf(await api.fetch('/v1/nightshift/usage?from=yesterday'));
    assert.equal(message, "Invalid 'from': 'yesterday' is not a day. Send a day such as 2027-01-31.");
  });
});

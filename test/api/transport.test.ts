import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { NO_KEYS } from '../../src/api/middleware/authentication.ts';
import { until } from '../helpers/until.ts';
import { envelopeOf, received, startWholeTestApi, type TestApi } from './test-api.ts';

describe('every route', () => {
  let api: TestApi;
  before(async () => (api = await startWholeTestApi({ bodyPace: { idleTimeoutMs: 3000, minBytesPerSecond: 1024 } })));
  after(async () => await api[Symbol.asyncDispose]());

  describe('401', () => {
    it('names the path that was meant where the base URL is wrong', async () => {
      for (const [path, meant] of [
        ['/files', '/v1/files'],
        ['/batches/batch_1', '/v1/batches/batch_1'],
        ['/v1/v1/files', '/v1/files'],
        ['/v1/batches/', '/v1/batches'],
        ['/v1/health', '/health'],
      ] as const) {
        const answer = await api.fetch(path);
        assert.equal(answer.status, 404, path);
        assert.equal((await envelopeOf(answer)).message, `Invalid URL (GET ${path}). Did you mean ${meant}?`);
      }
      assert.doesNotMatch((await envelopeOf(await api.fetch('/v1/nope'))).message, /mean/);
    });

    it('refuses a body that is compressed, and says so', async () => {
      for (const path of ['/v1/files', '/v1/batches']) {
        const answer = await api.fetch(path, { method: 'POST', body: 'x', headers: { 'content-encoding': 'gzip' } });
        assert.equal(answer.status, 400);
        assert.match((await envelopeOf(answer)).message, /'gzip'.*uncompressed/);
      }
    });

    it('answers 401 without a key, with a wrong one and with another scheme, on unknown routes too', async () => {
      for (const path of ['/v1/files', '/v1/batches', '/v1/nope', '/v1', '/v1/']) {
        for (const authorization of ['', 'Bearer', 'Bearer wrong', 'Basic key-a', 'key-a']) {
          const answer = await api.fetch(path, { headers: { authorization } });
          assert.equal(answer.status, 401, `${path} ${authorization}`);
          assert.partialDeepStrictEqual(await envelopeOf(answer), { type: 'invalid_request_error', param: null, code: 'invalid_api_key' });
        }
      }
    });

    it('surfaces as AuthenticationError in the SDK', async () => {
      await assert.rejects(api.client('nobody').batches.list(), OpenAI.AuthenticationError);
    });
  });

  describe('404', () => {
    it('answers the envelope for unknown routes', async () => {
      for (const path of ['/v1/nope', '/v1/assistants', '/nope', '/', '/V1/files', '/v1/Files', '//v1/files']) {
        const answer = await api.fetch(path);
        assert.equal(answer.status, 404, path);
        assert.equal((await envelopeOf(answer)).type, 'invalid_request_error');
      }
    });

    it('never takes an empty id for a list', async () => {
      for (const path of ['/v1/batches/', '/v1/files/', '/v1/files//content', '/v1/batches//cancel', '/v1/files/x/content/']) {
        assert.equal((await api.fetch(path)).status, 404, path);
      }
    });

    it('takes ids that are percent-encoded, malformed or hostile for unknown ones', async () => {
      for (const id of ['a%2Fb%3Fc', '%zz', '%00', '..%2F..%2Fetc', 'file-0', `file-${'F'.repeat(24)}`, 'x'.repeat(3000)]) {
        const file = await api.fetch(`/v1/files/${id}`);
        assert.equal(file.status, 404, id);
        assert.match((await envelopeOf(file)).message, /^No such File object: /);
        assert.equal((await api.fetch(`/v1/files/${id}/content`)).status, 404, id);
        const batch = await api.fetch(`/v1/batches/${id}`);
        assert.equal(batch.status, 404, id);
        assert.match((await envelopeOf(batch)).message, /No batch found/);
      }
      const named = await envelopeOf(await api.fetch('/v1/files/a%2Fb%3Fc'));
      assert.equal(named.message, 'No such File object: a/b?c');
    });
  });

  describe('405', () => {
    it('answers the envelope and what is allowed', async () => {
      const answer = await api.fetch('/v1/files', { method: 'PUT' });
      assert.equal(answer.status, 405);
      assert.equal(answer.headers.get('allow'), 'POST, HEAD, GET');
      await envelopeOf(answer);
      for (const [method, path] of [
        ['DELETE', '/v1/batches'],
        ['POST', '/v1/files/x'],
        ['GET', '/v1/batches/x/cancel'],
        ['OPTIONS', '/v1/files'],
      ] as const) {
        assert.equal((await api.fetch(path, { method })).status, 405, `${method} ${path}`);
      }
    });
  });

  describe('400', () => {
    it('answers the envelope to bodies that are no JSON object', async () => {
      for (const body of ['{', '', '[]', '"x"', 'null', '7', Buffer.from([0x7b, 0xff, 0x7d])]) {
        const answer = await api.fetch('/v1/batches', { method: 'POST', body, headers: { 'content-type': 'application/json' } });
        assert.equal(answer.status, 400, String(body));
        assert.equal((await envelopeOf(answer)).type, 'invalid_request_error');
      }
    });

    it('answers the envelope to what is no HTTP', async () => {
      const text = await received(await api.send('HELLO\r\n\r\n'));
      assert.match(text, /^HTTP\/1\.1 400 /);
      assert.match(text, /\r\nx-request-id: req_[0-9a-f]{32}\r\n/);
      assert.match(text, /\{"error":\{"message":.*"code":null\}\}$/);
    });
  });

  describe('408', () => {
    it('gives up a JSON body that stalls', async () => {
      const socket = await api.send(
        'POST /v1/batches HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-a\r\ncontent-length: 99\r\n\r\n{"input',
      );
      const text = await received(socket);
      assert.match(text, /^HTTP\/1\.1 408 /);
      assert.match(text, /"code":"request_timeout"/);
    });
  });

  describe('413', () => {
    it('refuses a JSON body over 1 MiB, in which there is no file to blame', async () => {
      for (const path of ['/v1/batches', '/v1/uploads']) {
        const answer = await api.fetch(path, { method: 'POST', body: JSON.stringify({ x: 'y'.repeat(1024 * 1024) }) });
        assert.equal(answer.status, 413);
        const message = 'The request body is larger than the 1048576 bytes this server accepts.';
        assert.deepEqual(await envelopeOf(answer), { message, type: 'invalid_request_error', param: null, code: 'file_too_large' });
      }
    });
  });

  describe('headers', () => {
    it('gives every answer a request id of its own and echoes none of the client', async () => {
      const ids = new Set<string | null>();
      for (const path of ['/v1/files', '/v1/files', '/v1/nope', '/health', '/ready']) {
        const answer = await api.fetch(path, { headers: { 'x-request-id': 'mine' } });
        ids.add(answer.headers.get('x-request-id'));
        await answer.text();
      }
      assert.equal(ids.size, 5);
      assert.ok([...ids].every((id) => /^req_[0-9a-f]{32}$/.test(id ?? '')));
    });

    it('is read by the SDK, and so are its own headers tolerated', async () => {
      const client = api.client('key-a', { organization: 'org-1', project: 'proj-1' });
      const file = await client.files.list();
      assert.match(Object(file)._request_id ?? (await client.files.list().withResponse()).request_id, /^req_/);
      const error = await client.batches.retrieve('batch_nope').catch((thrown: unknown) => thrown);
      assert.ok(error instanceof OpenAI.NotFoundError);
      assert.match(error.requestID ?? '', /^req_/);
    });

    it('says exactly application/json', async () => {
      assert.equal((await api.fetch('/v1/files')).headers.get('content-type'), 'application/json');
    });
  });

  describe('HEAD', () => {
    it('answers without a body what GET answers with one', async () => {
      const [found, unknown] = await Promise.all([api.fetch('/v1/files', { method: 'HEAD' }), api.fetch('/v1/nope', { method: 'HEAD' })]);
      assert.deepEqual([found.status, unknown.status], [200, 404]);
      assert.equal(await unknown.text(), '');
    });
  });

  describe('the log', () => {
    it('says who asked for what, without keys', async () => {
      const answer = await api.fetch('/v1/batches/batch_nope?secret=1');
      const id = answer.headers.get('x-request-id');
      const line = await until(() => api.log.find((each) => each['request_id'] === id), { what: 'the line of the request' });
      assert.partialDeepStrictEqual(line, {
        level: 'info',
        tenant: 'tenant-a',
        method: 'GET',
        path: '/v1/batches/batch_nope',
        status: 404,
      });
      assert.equal(typeof line['ms'], 'number');
      assert.doesNotMatch(JSON.stringify(api.log), /key-a|secret/);
    });
  });
});

describe('with no key configured', () => {
  it('serves everybody as one tenant', async () => {
    await using api = await startWholeTestApi({ keys: NO_KEYS });
    assert.equal((await fetch(`${api.origin}/v1/files`)).status, 200);
    assert.deepEqual((await api.client('anything').files.list()).data, []);
  });
});

describe('GET /health and GET /ready', () => {
  it('need no key; ready names what is away, fails without the bucket, and once the process is about to end', async () => {
    const draining = new AbortController();
    let clockMs = 0;
    let pings = 0;
    let isBucketThere = true;
    const objectStore = {
      ping: async () => {
        pings += 1;
        if (!isBucketThere) throw new Error('away');
      },
    };
    await using api = await startWholeTestApi({ draining: draining.signal, monotonicMs: () => clockMs, objectStore });
    assert.equal((await fetch(`${api.origin}/health`)).status, 200);
    const up = await fetch(`${api.origin}/ready`);
    assert.deepEqual([up.status, await up.json()], [200, { ready: true, temporal: true, bucket: true }]);
    api.runs.state = 'away';
    const answerOf = async () => {
      clockMs += 1000;
      const answer = await fetch(`${api.origin}/ready`);
      return [answer.status, await answer.json()];
    };
    assert.deepEqual(await answerOf(), [200, { ready: true, temporal: false, bucket: true }]);
    isBucketThere = false;
    assert.deepEqual(await answerOf(), [503, { ready: false, temporal: false, bucket: false }]);
    isBucketThere = true;
    api.runs.state = 'up';
    await answerOf();
    const before = pings;
    await Promise.all(Array.from({ length: 50 }, async () => await (await fetch(`${api.origin}/ready`)).text()));
    assert.equal(pings, before, 'answers of the last second serve everybody');
    draining.abort();
    assert.deepEqual(await answerOf(), [503, { ready: false, draining: true }]);
  });
});

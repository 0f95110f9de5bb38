import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { after, afterEach, before, describe, it, mock } from 'node:test';
import { ObjectStoreError, type ObjectStore } from '../../src/storage/object-store.ts';
import { first, startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import { collect, newNonce, startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;
let proxy: FaultProxy;
let store: ObjectStore;
/** Gives up after a second of silence. */
let impatient: ObjectStore;

before(async () => {
  bucket = await startTestBucket();
  proxy = await startFaultProxy(bucket.minio.endpoint);
  store = bucket.connect({ endpoint: proxy.endpoint });
  impatient = bucket.connect({ endpoint: proxy.endpoint, timeoutMs: 1000 });
});
afterEach(() => {
  proxy.fault = () => null;
  proxy.seen.length = 0;
});
after(async () => {
  await proxy[Symbol.asyncDispose]();
  await bucket[Symbol.asyncDispose]();
});

describe('a server that is busy', () => {
  it('is asked again after a 503, without a word on the console', async () => {
    const warned = mock.method(console, 'warn', () => {});
    proxy.fault = first(2, '503');
    await store.put('busy/a', Buffer.from('a'));
    assert.equal((await bucket.store.get('busy/a'))?.body.toString(), 'a');
    assert.equal(warned.mock.callCount(), 0);
    warned.mock.restore();
  });

  it('ends in an error that says operation and key and no credentials when it stays busy', async () => {
    proxy.fault = () => '503';
    const calls: [string, () => Promise<unknown>][] = [
      ['get', () => store.get('k')],
      ['put', () => store.put('k', Buffer.from('1'))],
      ['create', () => store.create('k', Buffer.from('1'))],
      ['open', () => store.open('k')],
      ['list', () => collect(store.list('k'))],
    ];
    await Promise.all(
      calls.map(([operation, call]) =>
        assert.rejects(call(), (error) => {
          assert.ok(error instanceof ObjectStoreError);
          assert.deepEqual([error.operation, error.key], [operation, 'k']);
          assert.doesNotMatch(JSON.stringify([error.message, error, error.cause]), /nightshift-test|Credential/);
          return true;
        }),
      ),
    );
  });

  it('does not keep connections: 200 refused calls are followed by one that works', async () => {
    proxy.fault = () => '503';
    await Promise.allSettled(Array.from({ length: 200 }, () => store.stat('busy/a')));
    proxy.fault = () => null;
    assert.equal((await store.stat('busy/a'))?.size, 1);
  });
});

describe('a server that refuses', () => {
  it('ends in an error without secret or key id', async () => {
    const { createMinioObjectStore } = await import('../../src/storage/minio-object-store.ts');
    const stranger = createMinioObjectStore({
      endpoint: proxy.endpoint,
      bucket: bucket.name,
      accessKey: 'nightshift',
      secretKey: 'wrong-secret',
      region: 'us-east-1',
    });
    for (const call of [() => stranger.get('k'), () => stranger.open('k')]) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof ObjectStoreError && error.cause instanceof Error);
        assert.match(error.message, /SignatureDoesNotMatch/);
        assert.doesNotMatch(JSON.stringify([error, { ...error.cause }]) + error.cause.message, /wrong-secret|AccessKey|Amz-Cred/i);
        return true;
      });
    }
    stranger.close();
  });
});

describe('a server that is silent', () => {
  it('fails the call after the timeout', async () => {
    proxy.fault = () => 'silence';
    const startedMs = performance.now();
    await assert.rejects(impatient.put('silent/a', Buffer.from('a')), /no sign of the server for 1000 ms/);
    await assert.rejects(impatient.get('silent/a'), /no sign/);
    await assert.rejects(impatient.open('silent/a'), /no sign of the server for 1000 ms/);
    await assert.rejects(impatient.ping(), /no sign/);
    assert.ok(performance.now() - startedMs < 15_000);
  });

  it('fails all calls within the time that an answer may take, however many wait for a connection', async () => {
    const hurried = bucket.connect({ endpoint: proxy.endpoint, answerMs: 1500 });
    proxy.fault = () => 'silence';
    const startedMs = performance.now();
    const calls = Array.from({ length: 300 }, async (_, index) => {
      await (index % 2 === 0 ? hurried.get(`silent/${index}`) : hurried.create(`silent/${index}`, Buffer.from('a')));
    });
    const ends = await Promise.allSettled([...calls, hurried.open('silent/a')]);
    assert.ok(ends.every(({ status }) => status === 'rejected'));
    assert.ok(performance.now() - startedMs < 6000);
    proxy.fault = () => null;
    assert.equal(await hurried.get('silent/nothing'), null);
    hurried.close();
  });

  it('fails calls within that time as well when it takes connections and no more', async (test) => {
    const mute = net.createServer().listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const { port } = mute.address() as AddressInfo;
    // Who connects with TLS waits for its part of the handshake.
    const hurried = bucket.connect({ endpoint: `https://127.0.0.1:${port}`, answerMs: 3000 });
    test.after(() => (hurried.close(), mute.close()));
    const startedMs = performance.now();
    const ends = await Promise.allSettled([hurried.get('mute/a'), hurried.open('mute/a')]);
    assert.ok(ends.every(({ status }) => status === 'rejected'));
    assert.ok(performance.now() - startedMs < 5000, `${performance.now() - startedMs} ms`);
  });

  it('may take its time for a body that is under way', async () => {
    const hurried = bucket.connect({ endpoint: proxy.endpoint, answerMs: 300 });
    let delayed = 0;
    proxy.fault = (method) => (method === 'PUT' ? ((delayed += 1), 'slow') : null);
    await hurried.put('slow/body', Buffer.alloc(100_000, 's'));
    await assert.rejects(hurried.put('slow/record', Buffer.from('a')), /no sign of the server for 300 ms/);
    assert.equal(delayed, 2);
    hurried.close();
  });

  it('is not blamed for a reader that takes its time', async () => {
    await store.put('silent/slow', Buffer.alloc(4_000_000, 's'));
    const found = await impatient.open('silent/slow');
    assert.ok(found);
    let bytes = 0;
    for await (const chunk of found.body) {
      // The reader's pause is what is tested: longer than the timeout.
      if (bytes === 0) await new Promise((resolve) => setTimeout(resolve, 2500));
      bytes += chunk.length;
    }
    assert.equal(bytes, 4_000_000);
  });
});

describe('an answer that breaks off', () => {
  it('is fetched again by get and list', async () => {
    const body = Buffer.alloc(1_000_000, 'c');
    await store.put('cut/a', body);
    proxy.fault = first(1, 'cut');
    assert.ok((await store.get('cut/a'))?.body.equals(body));
    proxy.fault = first(1, 'cut');
    assert.deepEqual(
      (await collect(store.list('cut/'))).map(({ key }) => key),
      ['cut/a'],
    );
  });

  it('is taken up where it was by a stream, of a whole object and of a range', async () => {
    const body = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => index % 251));
    await store.put('cut/b', body);
    for (const fault of ['cut', 'cut-closing'] as const) {
      for (const range of [undefined, { start: 10, end: 900_009 }]) {
        proxy.fault = first(3, fault);
        const found = await store.open('cut/b', range);
        assert.ok(found);
        assert.equal(found.size, body.length);
        const read = Buffer.concat(await collect(found.body));
        assert.ok(read.equals(range === undefined ? body : body.subarray(range.start, range.end + 1)));
      }
    }
  });

  it('errors a stream of an object that is another one by then', async () => {
    await store.put('cut/c', Buffer.alloc(1_000_000, 'c'));
    proxy.fault = first(1, 'cut');
    const found = await store.open('cut/c');
    assert.ok(found);
    await store.put('cut/c', Buffer.alloc(1_000_000, 'd'));
    await assert.rejects(collect(found.body), ObjectStoreError);
  });
});

describe('a write whose answer is lost', () => {
  const puts = (method: string) => method === 'PUT';

  it('is not reported as changed by another when it replaced', async () => {
    for (const fault of ['answer-500', 'answer-lost'] as const) {
      const key = `lost/${fault}`;
      await store.put(key, Buffer.from('before'));
      const etag = (await store.get(key))?.etag ?? '';
      proxy.fault = first(1, fault, puts);
      assert.equal(await store.replace(key, Buffer.from('after'), etag), 'replaced');
      assert.equal((await store.get(key))?.body.toString(), 'after');
      assert.equal(await store.replace(key, Buffer.from('late'), etag), 'changed');
    }
  });

  it('still says exists when it created', async () => {
    proxy.fault = first(1, 'answer-500', puts);
    assert.equal(await store.create('lost/new', Buffer.from('mine')), 'exists');
    assert.equal((await store.get('lost/new'))?.body.toString(), 'mine');
  });

  it('completes a multipart upload that was completed already', async () => {
    for (const fault of ['answer-500', 'answer-lost'] as const) {
      const key = `lost/${newNonce()}`;
      const id = await store.startMultipart(key);
      const parts = [Buffer.alloc(5 * 1024 * 1024, 'a'), Buffer.from('b')];
      const etags = await Promise.all(parts.map((part, i) => store.uploadPart(key, id, i + 1, part)));
      proxy.fault = first(1, fault, (method) => method === 'POST');
      await store.completeMultipart(
        key,
        id,
        etags.map((etag, i) => ({ part: i + 1, etag })),
      );
      assert.equal((await store.stat(key))?.size, 5 * 1024 * 1024 + 1);
    }
  });
});

describe('a server that does not say what a HEAD misses', () => {
  it('is asked again, so that a missing bucket is no absent object', async (test) => {
    let code = 'NoSuchKey';
    const server = http.createServer((incoming, answer) => {
      answer.writeHead(404).end(incoming.method === 'GET' ? `<Error><Code>${code}</Code><Message>none</Message></Error>` : '');
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const plain = bucket.connect({ endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    test.after(() => (plain.close(), server.closeAllConnections(), server.close()));
    assert.equal(await plain.stat('a'), null);
    code = 'NoSuchBucket';
    await assert.rejects(plain.stat('a'), ObjectStoreError);
  });
});

describe('a server that is gone', () => {
  it('fails calls instead of hanging, and ends the stream that it leaves', async () => {
    const gone = await startFaultProxy(bucket.minio.endpoint);
    const orphan = bucket.connect({ endpoint: gone.endpoint });
    await bucket.store.put('gone/a', Buffer.alloc(30_000_000, 'g'));
    const found = await orphan.open('gone/a');
    assert.ok(found);
    await gone[Symbol.asyncDispose]();
    await assert.rejects(collect(found.body), ObjectStoreError);
    await assert.rejects(orphan.get('gone/a'), /ECONNREFUSED/);
  });
});

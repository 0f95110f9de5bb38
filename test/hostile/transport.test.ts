import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { until } from '../helpers/until.ts';
import { assertRefused, firstAnswer, type HostileApi, startHostileApi } from './hostile-api.ts';

/** Where a client of these tests is held up itself, for longer than the idle time, it is taken for one that stands still: so it is not too short. */
const PACE = { NIGHTSHIFT_UPLOAD_IDLE_TIMEOUT_SECONDS: '3', NIGHTSHIFT_UPLOAD_MIN_BYTES_PER_SECOND: '50000' };
const FORM = [
  '--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n',
  '--b\r\nContent-Disposition: form-data; name="file"; filename="x.jsonl"\r\n\r\n{"custom_id":"1"}\n\r\n--b--\r\n',
].join('');
const head = (method: string, path: string, ...lines: string[]) =>
  [`${method} ${path} HTTP/1.1`, 'host: x', 'authorization: Bearer key-a', ...lines, '', ''].join('\r\n');
const uploadHead = (...lines: string[]) => head('POST', '/v1/files', 'content-type: multipart/form-data; boundary=b', ...lines);

async function* trickle(first: string, everyMs: number, bytes: () => string): AsyncGenerator<string> {
  yield first;
  for (;;) {
    await delay(everyMs);
    yield bytes();
  }
}

describe('hostile transport', () => {
  let api: HostileApi;
  before(async () => (api = await startHostileApi(PACE)));
  after(async () => await api[Symbol.asyncDispose]());

  describe('a body that comes slowly', () => {
    it('is given up with 408 when it trickles for ever, as a form, as JSON, declared and chunked', async () => {
      const formStart = FORM.slice(0, -12);
      // Whoever is not given up goes on for ever, and `send` fails.
      for (const bytes of [
        trickle(uploadHead('content-length: 100000000') + formStart, 100, () => 'x'),
        trickle(uploadHead('transfer-encoding: chunked') + `${formStart.length.toString(16)}\r\n${formStart}\r\n`, 100, () => '1\r\nx\r\n'),
        trickle(head('POST', '/v1/batches', 'content-length: 100000') + '{"metadata":{"a":"', 100, () => 'x'),
        trickle(head('POST', '/v1/uploads', 'transfer-encoding: chunked'), 100, () => '1\r\n{\r\n'),
      ]) {
        const answer = firstAnswer(await api.send(bytes));
        assertRefused(answer, [408]);
        assert.equal(answer.headers.get('connection'), 'close');
      }
    });

    it('is served while it brings what it must', async () => {
      // Up to 200,000 bytes a second where 50,000 are asked for, twice as long as a body may stand still.
      const file = `{"custom_id":"${'x'.repeat(1_200_000)}"}\n`;
      const body = FORM.replace('{"custom_id":"1"}\n', file);
      async function* steadily() {
        yield uploadHead(`content-length: ${body.length}`);
        for (let at = 0; at < body.length; at += 20_000) {
          yield body.slice(at, at + 20_000);
          await delay(100);
        }
      }
      const answer = firstAnswer(await api.send(steadily(), { enough: /"status_details"/ }));
      assert.equal(answer.status, 200, answer.text);
      assert.equal(JSON.parse(answer.text).bytes, file.length);
    });

    it('holds no part buffers: as many as there are trickle, and another upload passes', async () => {
      const big = `{"a":"${'x'.repeat(200_000)}`;
      const trickles = Array.from({ length: 24 }, async () => {
        const start = FORM.slice(0, FORM.indexOf('{')) + big;
        return firstAnswer(
          await api.send(
            trickle(uploadHead('content-length: 500000000') + start, 50, () => 'x'),
            // A client that goes on sending may find the connection reset before it has read why.
            { enough: /^HTTP/, seconds: 120 },
          ),
        ).status;
      });
      const body = FORM.replace('{"custom_id":"1"}', `${big}"}`);
      const passed = firstAnswer(
        await api.send(uploadHead(`content-length: ${body.length}`) + body, { enough: /"status_details"/, seconds: 120 }),
      );
      assert.equal(passed.status, 200, passed.text);
      for (const status of await Promise.all(trickles)) assert.ok(status === 408 || status === 503, `answered with ${status}`);
    });
  });

  describe('a Content-Length that lies', () => {
    it('is 408 when more was declared than comes', async () => {
      assertRefused(firstAnswer(await api.send(uploadHead(`content-length: ${FORM.length + 100}`) + FORM.slice(0, -10))), [408]);
      assertRefused(firstAnswer(await api.send(head('POST', '/v1/batches', 'content-length: 3') + '{}')), [408]);
    });

    it('makes what is beyond the declared length a request of its own, which is refused', async () => {
      const received = await api.send(uploadHead(`content-length: ${FORM.length - 30}`) + FORM);
      assertRefused(firstAnswer(received), [400]);
      const json = await api.send(head('POST', '/v1/batches', 'content-length: 2') + '{}, "and": "more"}');
      assertRefused(firstAnswer(json), [400]);
    });

    it('is refused before the body when it is absurd, twice there, or beside a chunked body', async () => {
      assertRefused(firstAnswer(await api.send(uploadHead('content-length: 99999999999999') + FORM, { enough: /\}\}$/ })), [413]);
      for (const lines of [
        ['content-length: 5', 'content-length: 6'],
        ['content-length: -1'],
        ['content-length: 1e3'],
        ['content-length: 0x10'],
        ['content-length: 99999999999999999999999'],
        ['content-length: 5', 'transfer-encoding: chunked'],
        ['transfer-encoding: chunked, identity'],
      ]) {
        assertRefused(firstAnswer(await api.send(uploadHead(...lines) + FORM, { enough: /\}\}$/ })), [400]);
      }
    });

    it('is 400 when chunks are no chunks', async () => {
      for (const chunks of ['zz\r\nabc\r\n', '-1\r\n', 'ffffffffffffffffff\r\nx', '5;ext=1\r\nabc\r\n0\r\n\r\n']) {
        assertRefused(firstAnswer(await api.send(uploadHead('transfer-encoding: chunked') + chunks, { enough: /\}\}$/ })), [400, 408]);
      }
    });
  });

  describe('what HTTP itself refuses', () => {
    it('is 400 without Host, but not in HTTP/1.0', async () => {
      const hostless = head('GET', '/v1/files').replace('host: x\r\n', '');
      assert.match(assertRefused(firstAnswer(await api.send(hostless, { enough: /\}\}$/ })), [400]), /Host/);
      const old = await api.send(hostless.replace('HTTP/1.1', 'HTTP/1.0'), { enough: /"has_more"/ });
      assert.equal(firstAnswer(old).status, 200, old);
    });

    it('is 417 for an expectation nobody knows, with and without a body', async () => {
      for (const bytes of [
        head('GET', '/v1/files', 'expect: anything'),
        head('POST', '/v1/batches', 'expect: 200-ok', 'content-length: 2') + '{}',
      ]) {
        assert.match(assertRefused(firstAnswer(await api.send(bytes, { enough: /\}\}$/ })), [417]), /100-continue/);
      }
      const known = await api.send(head('GET', '/v1/files', 'expect: 100-continue'), { enough: /"has_more"/ });
      assert.match(known, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
    });

    it('is 405 for CONNECT, which ends the connection', async () => {
      for (const target of ['example.com:443', '/v1/files', 'x']) {
        const answer = firstAnswer(await api.send(head('CONNECT', target)));
        assert.match(assertRefused(answer, [405]), /CONNECT/);
        assert.equal(answer.headers.get('connection'), 'close');
      }
    });

    it('never stands in another answer: a CONNECT behind an unanswered request only ends the connection', async () => {
      const received = await api.send(head('GET', '/v1/files') + head('CONNECT', 'x:1'));
      assert.deepEqual(
        received.split(/(?=HTTP\/1\.1 )/).map((answer) => firstAnswer(answer).status),
        [200],
      );
    });
  });

  describe('headers', () => {
    it('of more than 16 KiB are 431, on a connection that was used before as well', async () => {
      const flood = head('GET', '/v1/files', ...Array.from({ length: 5000 }, (_, index) => `x-${index}: v`));
      const long = head('GET', '/v1/files', `x-long: ${'v'.repeat(20_000)}`);
      const path = head('GET', `/v1/files/${'x'.repeat(20_000)}`);
      for (const bytes of [flood, long, path]) assertRefused(firstAnswer(await api.send(bytes, { enough: /\}\}$/ })), [431]);

      async function* second(received: () => string) {
        yield head('GET', '/health');
        await until(() => received().startsWith('HTTP/1.1 200 '), { what: 'the first answer', everyMs: 5 });
        yield flood;
      }
      const received = await api.send(second);
      const answers = received.split(/(?=HTTP\/1\.1 )/).map(firstAnswer);
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 431],
      );
      assertRefused(answers[1] ?? { status: 0, headers: new Headers(), text: '' }, [431]);
    });

    it('that are many, repeated or odd change nothing', async () => {
      for (const lines of [
        Array.from({ length: 700 }, (_, index) => `x${index}: v`),
        ['authorization: Bearer key-b', 'x-request-id: mine'],
        ['range: bytes=0-0,1-1,2-2', 'if-range: x', 'te: trailers', 'upgrade: websocket', 'connection: upgrade'],
        ['content-type: application/json', 'accept: */*;q=-1', 'cookie: a=\xff'],
      ]) {
        const answer = firstAnswer(await api.send(head('GET', '/v1/files', ...lines), { enough: /"has_more"/ }));
        assert.equal(answer.status, 200, answer.text);
        assert.match(answer.headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/);
      }
    });

    it('with hostile keys are 401', async () => {
      for (const key of ['\xff\xfe', 'k'.repeat(10_000), 'key-a key-b', '../key-a', "' or 1=1", 'null', '__proto__'])
        assertRefused(
          firstAnswer(await api.send(head('GET', '/v1/files').replace('Bearer key-a', `Bearer ${key}`), { enough: /\}\}$/ })),
          [401],
        );
    });
  });

  describe('paths', () => {
    const ids = fc.oneof(
      fc.constantFrom(
        ...['..', '.', '%2e%2e', '..%2f..%2fetc%2fpasswd', '%00', 'file-%00', '%ff%fe', '%c0%ae%c0%ae', '%F0%9F%92%A5', '%', '%2'],
      ),
      fc.constantFrom(
        `batch_${'0'.repeat(32)}%00`,
        `file-${'0'.repeat(24)}%2f..`,
        `file-${'0'.repeat(24)}%0a`,
        '%25%30%30',
        'a;b=c',
        '~',
        '*',
      ),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }).map(encodeURIComponentSafely),
    );
    const routes = fc.constantFrom<readonly [string, string]>(
      ['GET', '/v1/files/{id}'],
      ['GET', '/v1/files/{id}/content'],
      ['DELETE', '/v1/files/{id}'],
      ['GET', '/v1/batches/{id}'],
      ['POST', '/v1/batches/{id}/cancel'],
      ['POST', '/v1/uploads/{id}/parts'],
      ['POST', '/v1/uploads/{id}/complete'],
      ['POST', '/v1/uploads/{id}/cancel'],
      ['GET', '/v1/files?after={id}'],
      ['GET', '/v1/batches?after={id}'],
    );

    it('with hostile ids know nothing', async () => {
      await fc.assert(
        fc.asyncProperty(routes, ids, async ([method, route], id) => {
          const received = await api.send(head(method, route.replace('{id}', id), 'content-length: 0'), {
            enough: /\}\}$|"has_more":[a-z]+\}$/,
          });
          const answer = firstAnswer(received);
          // A slash or a question mark in the id makes another path of it, such as a list.
          if (answer.status === 200) assert.equal(JSON.parse(answer.text).data.length, 0);
          else assertRefused(answer, [400, 404, 405]);
        }),
        { numRuns: 300 },
      );
      api.assertSound();
    });

    it('of any bytes are refused', async () => {
      for (const path of [
        '/v1/files/\xff\xfe',
        '/v1/files/\x01',
        '*',
        'http://other/v1/nope',
        '//v1/files',
        '/v1/../etc',
        '/%2e%2e/v1/files',
        '/v1/files/%zz',
        'http://%@x/',
        'http://[/',
        'https://a:b@x/v1/files',
        'http://%41%@x/v1/files#',
        '//%ff@x/#',
        '//%@x/#',
        '//[/#',
        '/v1/files#x',
        'ftp://x/v1/files',
        'x',
        '?',
        '/v1/files\t',
        '/v1/files/\xa0',
      ])
        assertRefused(firstAnswer(await api.send(head('GET', path), { enough: /\}\}$/ })), [400, 404]);
      api.assertSound();
    });
  });

  describe('request targets', () => {
    /** Every byte but the ones that end a request line, and the strings that parsers of URLs trip over. */
    const piece = fc.oneof(
      fc
        .integer({ min: 0, max: 255 })
        .filter((byte) => byte !== 10 && byte !== 13)
        .map((byte) => String.fromCharCode(byte)),
      fc.constantFrom(
        'http://',
        'https://',
        '//',
        '/v1/files',
        '/',
        '%',
        '%ff',
        '@',
        '[',
        ']',
        '[::1',
        '#',
        '?',
        ':',
        '..',
        '\t',
        '\xa0',
        'xn--',
      ),
    );
    const targets = fc.array(piece, { minLength: 1, maxLength: 12 }).map((pieces) => pieces.join(''));

    for (const [whose, key] of [
      ['with a key', 'authorization: Bearer key-a'],
      ['without a key', 'x-key: none'],
    ] as const) {
      it(`of any bytes are answered with an envelope, ${whose}`, async () => {
        await fc.assert(
          fc.asyncProperty(targets, async (target) => {
            const request = [`GET ${target} HTTP/1.1`, 'host: x', key, 'connection: close', '', ''].join('\r\n');
            const answer = firstAnswer(await api.send(request, { encoding: 'latin1' }));
            if (answer.status !== 200) assertRefused(answer, [400, 401, 404, 405]);
          }),
          { numRuns: 400 },
        );
        api.assertSound();
        assert.equal((await api.fetch('/health')).status, 200);
      });
    }
  });

  it('leaves the process sound', () => api.assertSound());
});

function encodeURIComponentSafely(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

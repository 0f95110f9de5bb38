import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { type Answer, assertNothingKept, assertRefused, type HostileApi, startHostileApi } from './hostile-api.ts';

const BOUNDARY = 'b0undary';
const LINE = '{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n';
/** What forms are made of, to be put where it does not belong. */
const TOKENS = [
  ...[
    '\r\n',
    '\n',
    '\r',
    '\0',
    '"',
    ';',
    '--',
    '\r\n\r\n',
    `--${BOUNDARY}`,
    `\r\n--${BOUNDARY}\r\n`,
    `\r\n--${BOUNDARY}--`,
    '\ufeff',
    '💥',
  ],
  ...['Content-Disposition: form-data; name="file"; filename="x"\r\n\r\n', 'Content-Disposition: form-data; name="purpose"\r\n\r\n'],
  ...[
    'Content-Transfer-Encoding: base64\r\n',
    'Content-Type: text/plain; charset=utf-7\r\n',
    "filename*=UTF-8''%ff%00",
    'filename="../../x"',
  ],
];

interface Part {
  head: string;
  value: string | Buffer;
}
const field = (name: string, value: string | Buffer): Part => ({ head: `Content-Disposition: form-data; name="${name}"`, value });
const file = (value: string | Buffer, filename = 'x.jsonl'): Part => ({
  head: `Content-Disposition: form-data; name="file"; filename="${filename}"\r\nContent-Type: application/octet-stream`,
  value,
});
const form = (parts: readonly Part[], boundary = BOUNDARY) =>
  Buffer.concat([
    ...parts.flatMap(({ head, value }) => [Buffer.from(`--${boundary}\r\n${head}\r\n\r\n`), Buffer.from(value), Buffer.from('\r\n')]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
const VALID = form([
  field('purpose', 'batch'),
  file(LINE),
  field('expires_after[anchor]', 'created_at'),
  field('expires_after[seconds]', '3600'),
]);

describe('POST /v1/files, of hostile forms', () => {
  let api: HostileApi;
  before(async () => (api = await startHostileApi()));
  after(async () => await api[Symbol.asyncDispose]());

  const post = async (body: Buffer, contentType = `multipart/form-data; boundary=${BOUNDARY}`) =>
    await api.fetch('/v1/files', { method: 'POST', body: new Uint8Array(body), headers: { 'content-type': contentType } });

  /** A form is taken or refused; there is nothing between. */
  function assertTakenOrRefused(answer: Answer): void {
    if (answer.status !== 200) return void assertRefused(answer, [400, 413]);
    const { id, bytes, filename } = JSON.parse(answer.text);
    assert.match(id, /^file-[0-9a-f]{24}$/);
    assert.ok(Number.isInteger(bytes) && bytes >= 0);
    assert.ok(typeof filename === 'string' && !/[/\\]/.test(filename) && filename !== '');
  }

  it('takes or refuses a form that was damaged anywhere', async () => {
    const place = fc.nat({ max: VALID.length });
    const damage = fc.oneof(
      fc.record({ at: place, length: fc.nat({ max: 60 }), put: fc.constant('') }),
      fc.record({ at: place, length: fc.nat({ max: 3 }), put: fc.constantFrom(...TOKENS) }),
      fc.record({ at: place, length: fc.constant(1), put: fc.string({ minLength: 1, maxLength: 3, unit: 'binary' }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 5 }), async (damages) => {
        let body = VALID;
        for (const { at, length, put } of damages) {
          body = Buffer.concat([body.subarray(0, at), Buffer.from(put), body.subarray(at + length)]);
        }
        assertTakenOrRefused(await post(body));
      }),
      { numRuns: 500 },
    );
    api.assertSound();
  });

  it('refuses random bytes, with any content type', async () => {
    const contentType = fc.constantFrom(
      `multipart/form-data; boundary=${BOUNDARY}`,
      'multipart/form-data; boundary=',
      'multipart/form-data; boundary=""',
      `multipart/form-data; boundary="${'b'.repeat(5000)}"`,
      'multipart/form-data; boundary=a; boundary=b',
      'multipart/form-data; charset=utf-8; boundary=\xff',
      'multipart/mixed; boundary=a',
      'application/x-www-form-urlencoded',
      'text/plain',
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), contentType, async (bytes, type) => {
        assertRefused(await post(Buffer.from(bytes), type), [400]);
      }),
      { numRuns: 200 },
    );
    api.assertSound();
  });

  it('is not led astray by boundaries inside boundaries', async () => {
    for (const boundary of ['-', '--', `${BOUNDARY}--`, "'()+_,-./:=?", 'a'.repeat(70), 'a'.repeat(200)]) {
      const content = `${LINE}--${boundary}\n-${boundary}\r\n-`;
      const answer = await post(form([field('purpose', 'batch'), file(content)], boundary), `multipart/form-data; boundary="${boundary}"`);
      if (answer.status === 200) assert.equal(JSON.parse(answer.text).bytes, content.length, boundary);
      else assertRefused(answer, [400]);
    }
    api.assertSound();
  });

  it('takes or refuses thousands of parts, headers and parameters', async () => {
    const many = Array.from({ length: 5000 }, (_, index) => field(`f${index}`, 'v'));
    const headers = Array.from({ length: 5000 }, (_, index) => `x-h${index}: v`).join('\r\n');
    const parameters = Array.from({ length: 1000 }, (_, index) => `; p${index}=v`).join('');
    for (const parts of [
      many,
      [...many, field('purpose', 'batch'), file(LINE)],
      [field('purpose', 'batch'), file(LINE), ...many],
      Array.from({ length: 1000 }, () => field('purpose', 'batch')),
      [{ head: `${headers}\r\nContent-Disposition: form-data; name="file"; filename="x"`, value: LINE }, field('purpose', 'batch')],
      [{ head: `Content-Disposition: form-data; name="file"; filename="x"${parameters}`, value: LINE }, field('purpose', 'batch')],
      [file(LINE, 'x'.repeat(200_000)), field('purpose', 'batch')],
      [field('n'.repeat(10_000), 'v'.repeat(100_000)), field('purpose', 'batch'), file(LINE)],
      [{ head: 'Content-Disposition: form-data', value: 'nameless' }, field('purpose', 'batch'), file(LINE)],
      [{ head: 'x: y', value: 'without disposition' }, file(LINE), field('purpose', 'batch')],
    ]) {
      assertTakenOrRefused(await post(form(parts)));
    }
    for (const count of [2, 2000]) assertRefused(await post(form([field('purpose', 'batch'), ...Array(count).fill(file(LINE))])), [400]);
    api.assertSound();
  });

  it('refuses field values that are huge, however often they come', async () => {
    const huge = 'v'.repeat(1024 * 1024);
    assertRefused(await post(form([field('purpose', huge), file(LINE)])), [400]);
    assertRefused(await post(form([field('purpose', 'batch'), file(LINE), field('expires_after[seconds]', huge)])), [400]);
    assertRefused(await post(form(Array(50).fill(field('purpose', huge)))), [400]);
    assertRefused(await post(form([field('purpose', 'p'.repeat(60_000)), file(LINE)])), [400]);
    api.assertSound();
  });

  it('takes names that are anything for what they are: names', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 80 }), async (name) => {
        assertTakenOrRefused(await post(form([field('purpose', 'batch'), file(LINE, name)])));
      }),
      { numRuns: 100 },
    );
    api.assertSound();
  });

  it('keeps no memory of thousands of them', async () => {
    const hostile = [
      VALID.subarray(0, -30),
      form([file('no json'), field('purpose', 'batch')]),
      form(Array.from({ length: 200 }, (_, index) => field(`f${index}`, 'v'.repeat(100)))),
      form([field('purpose', 'v'.repeat(100_000)), file(LINE)]),
      Buffer.alloc(20_000, '-'),
    ];
    const volley = async (count: number) => {
      for (let sent = 0; sent < count; sent += 20) {
        const answers = Array.from({ length: 20 }, async (_, index) => await post(hostile[index % hostile.length] ?? VALID));
        for (const answer of await Promise.all(answers)) assertRefused(answer, [400]);
      }
    };
    await assertNothingKept(api, volley);
    api.assertSound();
  });
});

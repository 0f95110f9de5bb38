import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { aBatch, nightshift, runInShell, startFakeApi } from './fake-api.ts';

const LINE = '{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}\n';
let folder: string;
let temporary: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nightshift-input-'));
  temporary = await mkdtemp(join(folder, 'tmp-'));
});
after(async () => await rm(folder, { recursive: true }));

/** An API that keeps what it is sent. */
async function recordingApi() {
  const sent = { form: Buffer.alloc(0) as Buffer, endpoint: '', lengths: [] as (string | undefined)[] };
  const api = await startFakeApi((_method, path, body, headers) => {
    if (path === '/v1/files') {
      sent.form = body;
      sent.lengths.push(headers['content-length']);
      return { body: { id: 'file-in' } };
    }
    sent.endpoint = JSON.parse(body.toString()).endpoint;
    return { body: aBatch({ status: 'validating' }) };
  });
  const content = () => /filename="([^"]*)"\r\n[^\r]*\r\n\r\n([\s\S]*)\r\n--nightshift/.exec(sent.form.toString()) ?? [];
  return { api, sent, content };
}

describe('nightshift submit', () => {
  it('reads standard input, pipes and process substitution, and leaves no copy behind', async () => {
    const { api, sent, content } = await recordingApi();
    await using _api = api;
    const env = { TMPDIR: temporary };
    const piped = await nightshift(api.baseUrl, ['submit', '-'], folder, env, { input: LINE });
    assert.deepEqual([piped.code, piped.stdout, sent.endpoint], [0, 'batch_1\n', '/v1/embeddings'], piped.stderr);
    assert.deepEqual(content().slice(1), ['stdin.jsonl', LINE]);
    assert.equal(sent.lengths.at(-1), String(sent.form.length), 'the length is announced');

    const device = await nightshift(api.baseUrl, ['submit', '/dev/stdin'], folder, env, { input: LINE.repeat(3) });
    assert.deepEqual([device.code, content()[2]], [0, LINE.repeat(3)], device.stderr);

    await writeFile(join(folder, 'plain.jsonl'), LINE);
    const shell = await runInShell(api.baseUrl, 'nightshift submit <(cat plain.jsonl plain.jsonl)', folder, env);
    assert.deepEqual([shell.code, content()[2]], [0, LINE + LINE], shell.stderr);
    assert.deepEqual(await readdir(temporary), []);
  });

  it('unpacks gzip, from a file and from a pipe, and names a file that is cut', async () => {
    const { api, content } = await recordingApi();
    await using _api = api;
    const packed = gzipSync(LINE.repeat(1000));
    await writeFile(join(folder, 'in.jsonl.gz'), packed);
    const env = { TMPDIR: temporary };
    assert.equal((await nightshift(api.baseUrl, ['submit', 'in.jsonl.gz'], folder, env)).code, 0);
    assert.deepEqual(content().slice(1), ['in.jsonl', LINE.repeat(1000)]);
    assert.equal((await nightshift(api.baseUrl, ['submit', '-'], folder, env, { input: packed })).code, 0);
    assert.equal(content()[2], LINE.repeat(1000));
    await writeFile(join(folder, 'cut.jsonl.gz'), packed.subarray(0, packed.length - 20));
    const cut = await nightshift(api.baseUrl, ['submit', 'cut.jsonl.gz'], folder, env);
    assert.deepEqual([cut.code, cut.stderr], [1, 'cut.jsonl.gz cannot be unpacked: it is no complete gzip file.\n']);
    assert.deepEqual(await readdir(temporary), []);
  });

  it('takes a first line with U+2028, a lone CR or a byte order mark for what it is', async () => {
    const { api, sent } = await recordingApi();
    await using _api = api;
    const lines = [
      '{"body":{"model":"m","input":"a\u2028b\u2029c\u0085d"},"custom_id":"a","method":"POST","url":"/v1/embeddings"}\n',
      '{"body":{"model":"m"},\r"custom_id":"a","method":"POST","url":"/v1/embeddings"}\r\n',
      `\uFEFF\r\n\n${LINE}`,
      LINE.trim(),
    ];
    for (const [n, text] of lines.entries()) {
      sent.endpoint = '';
      await writeFile(join(folder, `line-${n}.jsonl`), text);
      const ended = await nightshift(api.baseUrl, ['submit', `line-${n}.jsonl`], folder);
      assert.deepEqual([ended.code, sent.endpoint], [0, '/v1/embeddings'], ended.stderr);
    }
  });

  it('says what a file is that cannot be a batch file, and sends nothing', async () => {
    const { api } = await recordingApi();
    await using _api = api;
    const cases: [string, string | Buffer, RegExp][] = [
      ['empty', '', /^empty is empty\. A batch file has one JSON request per line/],
      ['blank', '\n \r\n', /^blank is empty/],
      ['utf16', Buffer.from(`\uFEFF${LINE}`, 'utf16le'), /^utf16 is UTF-16 .*iconv/],
      ['latin1', Buffer.from('{"url":"/v1/é"}', 'latin1'), /^latin1 is not UTF-8/],
      ['array', `[${LINE}]`, /^array .*JSON array.*jq -c '\.\[\]' array/],
      ['pretty-array', `[\n  ${LINE}]`, /begins with "\[".*jq -c '\.\[\]'/],
      ['pretty', '{\n  "url": "/v1/x"\n}', /^Line 1 of pretty begins a JSON object and does not end it: "\{".*jq -c \./],
      ['text', 'Dear \x1b[2Jmodel', /^Line 1 of text is no JSON: "Dear \\u001b\[2Jmodel"/],
      ['body', '{"model":"m","messages":[]}', /^Line 1 of body has no "url"\. It looks like the body alone/],
      ['number', '\n7', /^Line 2 of number is "7", which is no request/],
      ['odd-url', '{"url":7}', /"url" that is no string: "7"/],
    ];
    for (const [name, content, message] of cases) {
      await writeFile(join(folder, name), content);
      const ended = await nightshift(api.baseUrl, ['submit', name], folder);
      assert.equal(ended.code, 1, name);
      assert.match(ended.stderr, message);
      assert.doesNotMatch(ended.stderr, /give --endpoint/);
    }
    assert.deepEqual(api.calls, []);
  });

  it('says why a file cannot be read', async () => {
    const { api } = await recordingApi();
    await using _api = api;
    const missing = await nightshift(api.baseUrl, ['submit', 'nowhere.jsonl'], folder);
    assert.deepEqual([missing.code, missing.stderr], [1, 'nowhere.jsonl cannot be read: no such file or folder.\n']);
    const isFolder = await nightshift(api.baseUrl, ['submit', '.'], folder);
    assert.match(isFolder.stderr, /^\. cannot be read: it is a folder\./);
    const below = await nightshift(api.baseUrl, ['submit', 'empty/x'], folder);
    assert.match(below.stderr, /^empty\/x cannot be read: a part of the path is not a folder\.\n$/);
  });

  it('ends with 130 when it is interrupted while it waits for a pipe, and leaves no copy behind', async () => {
    const { api } = await recordingApi();
    await using _api = api;
    const ended = await nightshift(
      api.baseUrl,
      ['submit', '-'],
      folder,
      { TMPDIR: temporary },
      {
        keepsInputOpen: true,
        onStart: (child) => child.stderr?.once('data', () => setTimeout(() => child.kill('SIGINT'), 500)),
      },
    );
    assert.deepEqual([ended.code, ended.stderr], [130, '']);
    assert.deepEqual(await readdir(temporary), []);
  });

  it('names the folder when a copy of a pipe cannot be written', async () => {
    const { api } = await recordingApi();
    await using _api = api;
    const ended = await nightshift(api.baseUrl, ['submit', '-'], folder, { TMPDIR: join(folder, 'nowhere') }, { input: LINE });
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /^A copy of standard input cannot be written to .*nowhere: no such file or folder\. Set TMPDIR/);
  });

  it('sends a file of many chunks whole, again after a failure', async () => {
    const text = LINE.replace('"x"', `"${'x'.repeat(248)}"`).repeat(32_000);
    await writeFile(join(folder, 'large.jsonl'), text);
    const lengths: number[] = [];
    await using api = await startFakeApi((_method, path, body) => {
      if (path !== '/v1/files') return { body: aBatch() };
      lengths.push(body.length);
      if (lengths.length === 1) return { status: 503, body: {}, headers: { 'retry-after': '0' } };
      return { body: { id: 'file-in' } };
    });
    const ended = await nightshift(api.baseUrl, ['submit', 'large.jsonl'], folder);
    assert.equal(ended.code, 0, ended.stderr);
    assert.match(ended.stderr, /uploading large\.jsonl \[█+░*\] \d+% {2}[\d.]+ MB of 10\.\d MB\n/);
    const [first = 0, second] = lengths;
    assert.ok(first === second && first > text.length);
  });
});

describe('nightshift check', () => {
  it('finds what the API would refuse, without calling it', async () => {
    await writeFile(join(folder, 'good.jsonl'), LINE + LINE.replace('"a"', '"b"'));
    const good = await nightshift('http://127.0.0.1:1/v1', ['check', 'good.jsonl'], folder);
    assert.deepEqual(
      [good.code, good.stdout],
      [0, 'good.jsonl is good: 2 requests for /v1/embeddings, 180 B, about 1 input tokens, at most 0 output tokens, models: m (2)\n'],
      good.stderr,
    );
    await writeFile(join(folder, 'bad.jsonl'), `${LINE}${LINE}\n${LINE}{"url":`);
    const bad = await nightshift('http://127.0.0.1:1/v1', ['check', 'bad.jsonl'], folder);
    assert.equal(bad.code, 1);
    assert.match(
      bad.stdout,
      /^line 2: .*duplicate.*\nline 4: .*duplicate.*\nline 5: .*\(invalid_json_line\)\nbad.jsonl has faults: 4 requests .* 2 repeated custom_ids/,
    );
    assert.match(bad.stderr, /bad\.jsonl has 3 faults/);
  });

  it('reads gzip and standard input, finds all faults of many, and counts tokens', async () => {
    const chat = (id: number, more = '') =>
      `{"custom_id":"${id}","method":"POST","url":"/v1/chat/completions","body":{"model":"m${id % 2}","max_tokens":10,"messages":[{"role":"user","content":"${'x'.repeat(396)}"}]${more}}}\n`;
    const good = Array.from({ length: 300 }, (_, at) => chat(at)).join('');
    const packed = await nightshift('http://127.0.0.1:1/v1', ['check', '-', '--json'], folder, {}, { input: gzipSync(good) });
    const found = JSON.parse(packed.stdout);
    assert.deepEqual(
      [packed.code, found.requests, found.requests_by_model, found.input_tokens, found.max_output_tokens, found.errors],
      [0, 300, { m0: 150, m1: 150 }, 300 * 100, 3000, []],
      packed.stderr,
    );
    const bad = Array.from({ length: 300 }, (_, at) => chat(at, ',"stream":true')).join('');
    const refused = await nightshift('http://127.0.0.1:1/v1', ['check', '/dev/stdin'], folder, {}, { input: bad });
    const lines = refused.stdout.split('\n').filter((each) => each.includes('streaming_unsupported'));
    assert.deepEqual([refused.code, lines.length, lines.at(-1)?.startsWith('line 300: ')], [1, 300, true], refused.stdout.slice(0, 500));
  });

  it('says how many batches an input needs that is larger than one', async () => {
    const many = Array.from({ length: 50_001 }, (_, at) => LINE.replace('"a"', `"${at}"`)).join('');
    const found = await nightshift('http://127.0.0.1:1/v1', ['check', '-'], folder, {}, { input: many });
    assert.equal(found.code, 0, found.stderr);
    assert.match(found.stderr, /cuts it into 2 batches/);
  });
});

describe('nightshift estimate', () => {
  const found = {
    object: 'batch.estimate',
    input_file_id: 'file-in',
    endpoint: '/v1/embeddings',
    valid: true,
    errors: null,
    requests: 1200,
    models: [
      {
        model: 'small',
        upstream: 'gpu',
        upstream_model: 'Qwen',
        requests: 1200,
        cost: { currency: 'EUR', input: 0.5, max_output: null, max_total: null },
      },
    ],
    upstreams: [{ name: 'gpu', requests: 1200, requests_per_second: 10, seconds: 120 }],
    input_tokens: 5000,
    max_output_tokens: null,
    token_method: 'bytes_per_token_4',
    requests_with_media: 0,
    seconds: 120,
    cost: null,
  };

  it('uploads a file, or takes the id of one, and prints what a batch would amount to', async () => {
    let body: unknown;
    await using api = await startFakeApi((_method, path, content) => {
      if (path === '/v1/batches/estimate') body = JSON.parse(content.toString());
      return { body: path === '/v1/batches/estimate' ? found : path.endsWith('/content') ? LINE : { id: 'file-in' } };
    });
    await writeFile(join(folder, 'in.jsonl'), LINE);
    const byPath = await nightshift(api.baseUrl, ['estimate', 'in.jsonl'], folder);
    assert.equal(byPath.code, 0, byPath.stderr);
    assert.deepEqual(byPath.stdout.split('\n'), [
      'requests    1,200 for /v1/embeddings',
      'model       small, 1,200 requests, upstream gpu as Qwen, 0.5 EUR for the input, the output is not limited',
      'tokens      about 5,000 in (four bytes of text each), output not limited',
      'time        about 2 min 0 s, if no other batch runs',
      'cost        not known',
      '',
    ]);
    assert.match(byPath.stderr, /nightshift submit --file-id file-in --endpoint \/v1\/embeddings/);
    assert.deepEqual(body, { input_file_id: 'file-in', endpoint: '/v1/embeddings', completion_window: '24h' });
    const byId = await nightshift(api.baseUrl, ['estimate', 'file-in', '--json'], folder);
    assert.deepEqual([byId.code, JSON.parse(byId.stdout)], [0, found], byId.stderr);
    assert.ok(api.calls.includes('GET /v1/files/file-in/content'));
  });

  it('ends with 1 and the faults where the batch would fail', async () => {
    const errors = [1, 2].map((line) => ({ code: 'c', message: 'wrong\nmodel: none', param: null, line }));
    await using api = await startFakeApi(() => ({ body: { ...found, valid: false, errors: { object: 'list', data: errors } } }));
    const refused = await nightshift(api.baseUrl, ['estimate', 'file-in', '--endpoint', '/v1/embeddings'], folder);
    assert.equal(refused.code, 1);
    assert.match(refused.stdout, /^error {7}2 lines: 1, 2: wrong model: none \(c\)\n/);
    assert.match(refused.stderr, /file-in has 2 faults/);
  });
});

describe('package.json', () => {
  it('names the Node version that the launcher asks for', async () => {
    const { default: packageJson } = await import('../../package.json', { with: { type: 'json' } });
    const [, major = ''] = /^>=(\d+)$/.exec(packageJson.engines.node) ?? [];
    const bin = fileURLToPath(new URL('../../bin/nightshift.mjs', import.meta.url));
    const runsOn = (version: string) => {
      const setVersion = `Object.defineProperty(process.versions, 'node', { value: '${version}' });`;
      const preload = `data:text/javascript,${encodeURIComponent(setVersion)}`;
      const { status, stderr } = spawnSync(process.execPath, ['--import', preload, bin, '--version'], { encoding: 'utf8' });
      assert.ok(status === 0 || /Nightshift runs on Node/.test(stderr), stderr);
      return status === 0;
    };
    assert.equal(runsOn(`${major}.0.0`), true);
    assert.equal(runsOn(`${Number(major) - 1}.99.0`), false);
  });
});

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { aBatch, nightshift, startFakeApi } from './fake-api.ts';
import { CLIENT_COMMANDS } from '../../src/cli/commands.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import type { Batch } from '../../src/domain/batch.ts';

let folder: string;
let input: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nightshift-cli-'));
  input = join(folder, 'in.jsonl');
  await writeFile(input, '\n{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{}}\n');
});
after(async () => await rm(folder, { recursive: true }));

/** An API whose batch ends as given after some polls. */
async function apiThatEnds(end: Partial<Batch>) {
  let polls = 0;
  const bodies: Record<string, string> = {};
  const keys: (string | undefined)[] = [];
  const api = await startFakeApi((method, path, body, headers) => {
    bodies[`${method} ${path}`] = body.toString();
    if (method === 'POST' && path === '/v1/files') return { body: { id: 'file-in' } };
    if (method === 'POST' && path === '/v1/batches') {
      keys.push(headers['idempotency-key']?.toString());
      return keys.length === 1 ? 'hang up' : { body: aBatch({ status: 'validating' }) };
    }
    if (/^\/v1\/batches\/batch_1(\?wait=10)?$/.test(path)) {
      polls += 1;
      if (polls === 1) return { status: 429, body: { error: { message: 'slow down' } }, headers: { 'retry-after': '0' } };
      if (polls === 2) return 'hang up';
      return { body: polls === 3 ? aBatch() : aBatch(end) };
    }
    if (path === '/v1/files/file-out/content') return { body: '{"custom_id":"a"}\n' };
    if (path === '/v1/files/file-err/content')
      return { body: '{"custom_id":"b","response":{"status_code":400,"body":{"error":{"message":"Invalid \\u001b[2J temperature"}}}}\n' };
    return { status: 404, body: { error: { message: 'unexpected' } } };
  });
  return { api, bodies, keys };
}

const COMPLETED = {
  status: 'completed',
  completed_at: 1_700_000_010,
  output_file_id: 'file-out',
  request_counts: { total: 1, completed: 1, failed: 0 },
} as const;

describe('nightshift submit', () => {
  it('uploads, creates with the url of the first line, and prints the id', async () => {
    const { api, bodies, keys } = await apiThatEnds(COMPLETED);
    await using _api = api;
    const ended = await nightshift(api.baseUrl, ['submit', input, '--metadata', 'team=nights', '--metadata', 'x=a=b'], folder);
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal(ended.stdout, 'batch_1\n');
    assert.match(bodies['POST /v1/files'] ?? '', /filename="in\.jsonl"[\s\S]*"custom_id":"a"/);
    assert.deepEqual(JSON.parse(bodies['POST /v1/batches'] ?? ''), {
      input_file_id: 'file-in',
      endpoint: '/v1/embeddings',
      completion_window: '24h',
      metadata: { team: 'nights', x: 'a=b' },
    });
    const [first, second] = keys;
    assert.equal(keys.length, 2, 'the create whose answer was lost is sent again');
    assert.ok(first !== undefined && first === second, 'with the same key');
  });

  it('repeats uploads and creates as Retry-After says, and gives up on an API that stays busy with 5', async () => {
    let creates = 0;
    await using api = await startFakeApi((_method, path) => {
      if (path === '/v1/files') return { body: { id: 'file-in' } };
      creates += 1;
      const headers = { 'retry-after': '0', 'x-request-id': 'req_7' };
      return { status: 503, body: { error: { message: 'The bucket is away.' } }, headers };
    });
    const ended = await nightshift(api.baseUrl, ['submit', input], folder);
    assert.equal(ended.code, 5);
    assert.equal(creates, 6);
    const { stderr } = ended;
    assert.match(
      stderr,
      /--file-id file-in --endpoint \/v1\/embeddings --idempotency-key [\w-]+\nThe bucket is away\. \(HTTP 503, request id req_7\)\n$/,
    );
  });

  it('goes on from a file id without uploading', async () => {
    const { api, bodies } = await apiThatEnds(COMPLETED);
    await using _api = api;
    const args = ['submit', '--file-id', 'file-x', '--endpoint', '/v1/embeddings', '--idempotency-key', 'k'];
    const ended = await nightshift(api.baseUrl, args, folder);
    assert.deepEqual([ended.code, ended.stdout], [0, 'batch_1\n']);
    assert.deepEqual(Object.keys(bodies), ['POST /v1/batches']);
    assert.equal(JSON.parse(bodies['POST /v1/batches'] ?? '').input_file_id, 'file-x');
  });

  it('waits through an API that is away or busy, shows plain lines and downloads', async () => {
    const { api } = await apiThatEnds(COMPLETED);
    await using _api = api;
    const out = join(folder, 'results');
    const ended = await nightshift(api.baseUrl, ['submit', input, '-o', out], folder);
    assert.equal(ended.code, 0, ended.stderr);
    assert.match(ended.stderr, /the API answers 429, trying again in 1 s\n[\s\S]*in_progress \[█+░+\] 25% {2}1 of 4\n[\s\S]*completed/);
    assert.doesNotMatch(ended.stderr, /\x1b|\r/);
    assert.equal(ended.stdout, `batch_1\n${join(out, 'batch_1_output.jsonl')}\n`);
    assert.equal(await readFile(join(out, 'batch_1_output.jsonl'), 'utf8'), '{"custom_id":"a"}\n');
  });

  it('ends with 3 when a line failed, downloads both files, and says why lines failed', async () => {
    const { api } = await apiThatEnds({ ...COMPLETED, error_file_id: 'file-err', request_counts: { total: 2, completed: 1, failed: 1 } });
    await using _api = api;
    const out = join(folder, 'failed');
    const ended = await nightshift(api.baseUrl, ['submit', input, '--wait', '-o', out, '--json'], folder);
    assert.equal(ended.code, 3);
    assert.ok(existsSync(join(out, 'batch_1_error.jsonl')));
    assert.match(ended.stderr, /failed {6}request b: 400: Invalid \\x1b\[2J temperature/);
    const { id, output_path: output, error_path: error } = JSON.parse(ended.stdout);
    assert.deepEqual([id, output, error], ['batch_1', join(out, 'batch_1_output.jsonl'), join(out, 'batch_1_error.jsonl')]);
  });

  it('ends with 4 when the batch failed, and shows the errors', async () => {
    const { api } = await apiThatEnds({
      status: 'failed',
      failed_at: 1_700_000_002,
      errors: { object: 'list', data: [{ code: 'duplicate_custom_id', message: 'Twice.', param: null, line: 3 }] },
    });
    await using _api = api;
    const ended = await nightshift(api.baseUrl, ['submit', input, '--wait'], folder);
    assert.equal(ended.code, 4);
    assert.match(ended.stderr, /line 3: Twice\. \(duplicate_custom_id\)/);
  });

  it('prints the output file alone with -o -', async () => {
    const { api } = await apiThatEnds(COMPLETED);
    await using _api = api;
    const ended = await nightshift(api.baseUrl, ['submit', input, '-o', '-'], folder);
    assert.deepEqual([ended.code, ended.stdout], [0, '{"custom_id":"a"}\n']);
    assert.match(ended.stderr, /batch batch_1\n/);
  });

  it('refuses a folder that cannot be written before anything is sent', async () => {
    await using api = await startFakeApi(() => ({ body: {} }));
    for (const [target, reason] of [
      [input, /a part of the path is not a folder/],
      [join(input, 'below'), /a part of the path is not a folder/],
      ['/proc/nowhere', /no such file or folder/],
    ] as const) {
      const ended = await nightshift(api.baseUrl, ['submit', input, '-o', target], folder);
      assert.equal(ended.code, 1);
      assert.match(ended.stderr, reason);
      assert.doesNotMatch(ended.stderr, /\n {4}at /);
    }
    assert.deepEqual(api.calls, []);
  });

  it('says how to go on when it is interrupted, and ends with 130', async () => {
    await using api = await startFakeApi((method, path) => {
      if (path === '/v1/files') return { body: { id: 'file-in' } };
      return { body: aBatch({ status: method === 'POST' ? 'validating' : 'in_progress' }) };
    });
    const ended = await nightshift(
      api.baseUrl,
      ['submit', input, '--wait'],
      folder,
      {},
      {
        onStart: (child) => child.stdout?.once('data', () => child.kill('SIGINT')),
      },
    );
    assert.equal(ended.code, 130);
    assert.match(ended.stderr, /nightshift wait batch_1\n.*nightshift download batch_1\n$/);
  });

  it('ends with 5 and one sentence when nothing answers', async () => {
    const ended = await nightshift('http://127.0.0.1:1/v1', ['submit', input], folder);
    assert.equal(ended.code, 5);
    assert.match(ended.stderr, /^Nothing answers at http:\/\/127\.0\.0\.1:1\/v1 .*NIGHTSHIFT_BASE_URL.*\n$/);
  });

  it('repeats what the API says against it, with the request id', async () => {
    const headers = { 'x-request-id': 'req_1' };
    await using api = await startFakeApi(() => ({ status: 400, body: { error: { message: 'File is too \x1b]0;large\x07.' } }, headers }));
    const ended = await nightshift(api.baseUrl, ['submit', input], folder);
    assert.deepEqual([ended.code, ended.stderr], [1, 'File is too \\x1b]0;large\\x07. (HTTP 400, request id req_1)\n']);
  });

  it('ends with 2 for a wrong call, and says what is wrong', async () => {
    for (const [args, message] of [
      [['submit'], /Give either a FILE or --file-id/],
      [['submit', input, '--no-such'], /Unknown option '--no-such'.*nightshift submit --help/],
      [['submit', input, 'another'], /an argument too many: "another"/],
      [['submit', input, '--metadata', 'x'], /"x", but it takes KEY=VALUE/],
      [['api', '--port', '1'], /nightshift api takes no arguments, but "--port" was given/],
      [['local', '--no-such'], /Unknown option '--no-such'/],
      [['files', 'nope'], /no command "files nope"/],
      [['nope'], /no command "nope"/],
    ] as const) {
      const ended = await nightshift('http://127.0.0.1:1/v1', [...args], folder);
      assert.equal(ended.code, 2, args.join(' '));
      assert.match(ended.stderr, message);
    }
  });
});

describe('nightshift help', () => {
  it('explains each command, in both ways', async () => {
    const help = await nightshift(null, ['submit', '--help'], folder);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /Usage: nightshift submit FILE[\s\S]*--completion-window TIME[\s\S]*NIGHTSHIFT_BASE_URL/);
    assert.equal((await nightshift(null, ['help', 'submit'], folder)).stdout, help.stdout);
    assert.match((await nightshift(null, ['help', 'files', 'get'], folder)).stdout, /^Usage: nightshift files get ID/);
    assert.match((await nightshift(null, ['help', 'files'], folder)).stdout, /files rm/);
    assert.match((await nightshift(null, ['help', 'worker'], folder)).stdout, /^nightshift worker/);
  });
});

describe('docs/command-line.md', () => {
  it('lists every command and every exit code, and no other', async () => {
    const page = await readFile(new URL('../../docs/command-line.md', import.meta.url), 'utf8');
    const rows = (pattern: RegExp) => [...page.matchAll(pattern)].map(([, found = '']) => found);
    assert.deepEqual(rows(/^\| `([a-z]+(?: [a-z-]+)?)[^`]*` \|/gm).toSorted(), Object.keys(CLIENT_COMMANDS).toSorted());
    assert.deepEqual(rows(/^\| (\d+) \|/gm), Object.values(EXIT).map(String));
  });
});

describe('nightshift status and wait', () => {
  const groups = [3, 5, 9].map((line) => ({ code: 'streaming_unsupported', message: 'No \x1b[31mstreaming.', param: null, line }));
  const failed = { status: 'failed', failed_at: 1_700_000_002, errors: { object: 'list', data: groups } } as const;

  it('shows a batch, and tells with the exit code how it ended', async () => {
    const cases = [
      [aBatch({ metadata: { team: 'nights' } }), 0, /status +in_progress\n[\s\S]*1 completed, 0 failed, 4 in all[\s\S]*"team":"nights"/],
      [aBatch({ ...COMPLETED }), 0, /completed/],
      [aBatch({ ...COMPLETED, request_counts: { total: 2, completed: 1, failed: 1 } }), 3, /1 failed/],
      [aBatch({ ...failed }), 4, /error +3 lines: 3, 5, 9: No \\x1b\[31mstreaming\. \(streaming_unsupported\)\n$/],
      [aBatch({ status: 'expired', expired_at: 1 }), 4, /expired/],
      [aBatch({ status: 'cancelled', cancelled_at: 1 }), 4, /cancelled/],
    ] as const;
    for (const [batch, code, shown] of cases) {
      await using api = await startFakeApi(() => ({ body: batch }));
      const { stdout, code: found } = await nightshift(api.baseUrl, ['status', 'batch_1'], folder);
      assert.equal(found, code, batch.status);
      assert.match(stdout, shown);
    }
    await using api = await startFakeApi(() => ({ body: aBatch({ ...failed }) }));
    assert.equal((await nightshift(api.baseUrl, ['status', 'batch_1', '--wait', '--json'], folder)).code, 4);
  });

  it('shows a batch of an API that leaves members out', async () => {
    await using api = await startFakeApi(() => ({
      body: { id: 'batch_1', status: 'in_progress', request_counts: { total: '7' }, errors: { data: 7 }, usage: 7, metadata: 7 },
    }));
    const { code, stdout } = await nightshift(api.baseUrl, ['status', 'batch_1'], folder);
    assert.equal(code, 0);
    assert.match(stdout, /0 completed, 0 failed, 0 in all/);
  });

  it('waits for several batches and ends with the code of the worst', async () => {
    await using api = await startFakeApi((_method, path) => ({
      body: path.endsWith('_2') ? aBatch({ id: 'batch_2', ...failed }) : aBatch({ ...COMPLETED }),
    }));
    const ended = await nightshift(api.baseUrl, ['wait', 'batch_1', 'batch_2'], folder);
    assert.deepEqual([ended.code, ended.stdout], [4, 'batch_1 completed\nbatch_2 failed\n']);
  });

  it('repeats the 404 of an unknown batch', async () => {
    await using api = await startFakeApi(() => ({ status: 404, body: { error: { message: "No batch found with id 'x'." } } }));
    const ended = await nightshift(api.baseUrl, ['status', 'x'], folder);
    assert.deepEqual([ended.code, ended.stderr], [1, "No batch found with id 'x'. (HTTP 404)\n"]);
  });

  it('says of an address that it is no Batch API', async () => {
    await using api = await startFakeApi(() => ({ status: 404, body: { error: { message: 'Invalid URL (GET /batches)' } } }));
    const prefixed = api.baseUrl.replace('/v1', '/api');
    assert.match(
      (await nightshift(prefixed, ['list'], folder)).stderr,
      /has no route "GET \/batches".*usually ends in "\/v1".*NIGHTSHIFT_BASE_URL/,
    );
    await using page = await startFakeApi(() => ({ body: '<html>' }));
    assert.match((await nightshift(page.baseUrl, ['list'], folder)).stderr, /is no Batch API: its answer is not JSON/);
    await using moved = await startFakeApi(() => ({ status: 308, body: '', headers: { location: 'https://other.example/v1' } }));
    const ended = await nightshift(moved.baseUrl, ['list'], folder, { NIGHTSHIFT_API_KEY: 'k' });
    assert.match(ended.stderr, /redirects to https:\/\/other\.example\/v1/);
  });
});

describe('nightshift retry', () => {
  it('asks for a batch of the lines with these statuses, and prints its id', async () => {
    const calls: string[] = [];
    await using api = await startFakeApi((method, path) => {
      calls.push(`${method} ${path}`);
      return { body: aBatch({ id: 'batch_2' }) };
    });
    const plain = await nightshift(api.baseUrl, ['retry', 'batch_1', '--status', 'failed', '--status', 'expired'], folder);
    assert.deepEqual([plain.code, plain.stdout, calls], [0, 'batch_2\n', ['POST /v1/batches/batch_1/retry']]);
  });
});

describe('nightshift upstreams', () => {
  it('shows each upstream with what holds requests back', async () => {
    const load = { limit: 8, in_flight: 4, answers_per_second: 2, refusals_per_second: 0, faults_per_second: 0 };
    const open = { ...load, workers: 1, paused: null, paused_at: null, quiet_until: null, admitted_batches: 2, waiting_batches: null };
    const gates = [{ model: null, reason: 'upstream_away', server_says: 'connect ECONNREFUSED' }];
    const data = [
      { name: 'gpu', ...open, servers: [] },
      { name: 'away', ...open, servers: [{ server: 'h:80', gates }] },
      { name: 'held', ...open, paused: 'upstream', paused_at: 1_700_000_009, servers: [] },
    ];
    await using api = await startFakeApi(() => ({ body: { object: 'list', paused_at: null, data } }));
    const { code, stdout } = await nightshift(api.baseUrl, ['upstreams'], folder);
    assert.equal(code, 0);
    assert.match(stdout, /^gpu +1 +4 +8 +2 +0 +0 +2 +- +open$/m);
    assert.match(stdout, /^away .* h:80 upstream_away: connect ECONNREFUSED$/m);
    assert.match(stdout, /^held .* paused since 2023-11-14 22:13:29$/m);
  });
});

describe('nightshift pause and resume', () => {
  it('pause and resume several batches, and status shows since when a batch is paused', async () => {
    const paused = { nightshift: { paused_at: 1_700_000_009 } };
    await using api = await startFakeApi((method, path) => {
      const [, , , id = '', call] = path.split('/');
      return { body: aBatch({ id, ...(call === 'pause' || method === 'GET' ? paused : {}) }) };
    });
    const pause = await nightshift(api.baseUrl, ['pause', 'batch_1', 'batch_2'], folder);
    assert.deepEqual([pause.code, pause.stdout], [0, 'batch_1 is paused\nbatch_2 is paused\n']);
    const status = await nightshift(api.baseUrl, ['status', 'batch_1'], folder);
    assert.match(status.stdout, /^status +in_progress, paused since 2023-11-14 22:13:29$/m);
    const resume = await nightshift(api.baseUrl, ['resume', 'batch_1'], folder);
    assert.deepEqual([resume.code, resume.stdout], [0, 'batch_1 is in_progress\n']);
    const asJson = await nightshift(api.baseUrl, ['pause', 'batch_1', '--json'], folder);
    assert.equal(JSON.parse(asJson.stdout).nightshift.paused_at, 1_700_000_009);
    assert.deepEqual(api.calls.slice(0, 2), ['POST /v1/batches/batch_1/pause', 'POST /v1/batches/batch_2/pause']);
  });

  it('pause an upstream or everything for operators, and want exactly one kind of target', async () => {
    await using api = await startFakeApi((_method, path) => ({
      body: { object: 'nightshift.pause', paused: path.endsWith('/resume') ? null : path.includes('gpu') ? 'upstream' : 'everything' },
    }));
    const upstream = await nightshift(api.baseUrl, ['pause', '--upstream', 'gpu', '--upstream', 'gpu b'], folder);
    assert.deepEqual([upstream.code, upstream.stdout], [0, 'upstream gpu is paused\nupstream gpu b is paused\n']);
    const all = await nightshift(api.baseUrl, ['pause', '--all'], folder);
    const resumed = await nightshift(api.baseUrl, ['resume', '--all'], folder);
    assert.deepEqual([all.stdout, resumed.stdout], ['everything is paused\n', 'everything is not paused\n']);
    const calls = ['upstreams/gpu/pause', 'upstreams/gpu%20b/pause', 'pause', 'resume'].map((each) => `POST /v1/nightshift/${each}`);
    assert.deepEqual(api.calls, calls);
    for (const args of [['pause'], ['resume', 'batch_1', '--all']]) {
      const wrong = await nightshift(api.baseUrl, args, folder);
      assert.deepEqual([wrong.code, /Name what to/.test(wrong.stderr)], [EXIT.usage, true]);
    }
  });
});

describe('nightshift cancel', () => {
  it('cancels several batches, and waits for their end with --wait', async () => {
    await using api = await startFakeApi((method, path) => {
      const [, id = ''] = /batches\/(\w+)/.exec(path) ?? [];
      return { body: aBatch({ id, status: method === 'POST' ? 'cancelling' : 'cancelled', cancelled_at: 1_700_000_009 }) };
    });
    const plain = await nightshift(api.baseUrl, ['cancel', 'batch_1', 'batch_2'], folder);
    assert.deepEqual([plain.code, plain.stdout], [0, 'batch_1 is cancelling\nbatch_2 is cancelling\n']);
    const awaited = await nightshift(api.baseUrl, ['cancel', 'batch_1', '--wait', '--json'], folder);
    assert.deepEqual([awaited.code, JSON.parse(awaited.stdout).status], [0, 'cancelled']);
  });
});

describe('nightshift doctor', () => {
  it('says what is well and what is not, with an exit code', async () => {
    let isReady = true;
    await using api = await startFakeApi((_method, path) =>
      path === '/ready' ? { body: { bucket: true, temporal: isReady } } : { body: { data: [], has_more: false } },
    );
    const good = await nightshift(api.baseUrl, ['doctor'], folder);
    assert.equal(good.code, 0, good.stdout);
    assert.match(
      good.stdout,
      /^ok +The API is .*\nok +The API answers and takes the key\.\nok +The API reaches its bucket\.\nok +The API reaches Temporal\.\n$/,
    );
    isReady = false;
    const away = await nightshift(api.baseUrl, ['doctor', '--json'], folder);
    assert.equal(away.code, 1);
    assert.equal(JSON.parse(away.stdout).at(-1).ok, false);
    const gone = await nightshift('http://127.0.0.1:1/v1', ['doctor'], folder);
    assert.equal(gone.code, 5);
    assert.match(gone.stdout, /FAILED +Nothing answers/);
  });

  it('names with --server what the settings of the server cannot reach', async () => {
    await using upstream = await startFakeApi(() => ({ body: { data: [{ id: 'llama' }] } }));
    await using api = await startFakeApi(() => ({ body: { data: [], has_more: false } }));
    const env = {
      NIGHTSHIFT_S3_ENDPOINT: 'http://127.0.0.1:2',
      NIGHTSHIFT_S3_ACCESS_KEY: 'a',
      NIGHTSHIFT_S3_SECRET_KEY: 'b',
      NIGHTSHIFT_TEMPORAL_ADDRESS: '127.0.0.1:2',
      NIGHTSHIFT_UPSTREAM_URL: upstream.baseUrl,
    };
    const ended = await nightshift(api.baseUrl, ['doctor', '--server'], folder, env);
    assert.equal(ended.code, 1);
    assert.match(
      ended.stdout,
      /FAILED +This machine does not reach the bucket nightshift at http:\/\/127\.0\.0\.1:2: .+NIGHTSHIFT_S3_ENDPOINT/,
    );
    assert.match(
      ended.stdout,
      /FAILED +This machine does not reach the namespace default of Temporal at 127\.0\.0\.1:2: .+NIGHTSHIFT_TEMPORAL_ADDRESS/,
    );
    assert.match(ended.stdout, /ok +Upstream default at .* serves llama\./);
    assert.doesNotMatch(ended.stdout + ended.stderr, /\n {4}at /);
    const wrong = await nightshift(api.baseUrl, ['doctor', '--server'], folder, { ...env, NIGHTSHIFT_LOG_LEVEL: 'loud' });
    assert.equal(wrong.code, 2);
  });
});

describe('keys and addresses', () => {
  async function authorizationFor(env: Record<string, string>, file: string | null, args: string[] = []): Promise<string | undefined> {
    let sent: string | undefined = 'nothing was called';
    await using api = await startFakeApi((_method, _path, _body, headers) => {
      sent = headers.authorization;
      return { body: { data: [], has_more: false } };
    });
    const cwd = await mkdtemp(join(folder, 'env-'));
    const fill = (text: string) => text.replaceAll('<api>', api.baseUrl);
    if (file !== null) await writeFile(join(cwd, '.env'), fill(file));
    const filled = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, fill(value)]));
    const ended = await nightshift(null, ['list', ...args.map(fill)], cwd, filled);
    assert.equal(ended.code, 0, ended.stderr);
    return sent;
  }

  it('send a key to the host that it was set for, and to no other', async () => {
    const openai = { OPENAI_API_KEY: 'sk-real' };
    assert.equal(await authorizationFor({ ...openai, OPENAI_BASE_URL: '<api>' }, null), 'Bearer sk-real');
    assert.equal(await authorizationFor({ ...openai, NIGHTSHIFT_BASE_URL: '<api>' }, null), undefined);
    assert.equal(await authorizationFor({ ...openai, NIGHTSHIFT_API_KEY: 'ours' }, 'NIGHTSHIFT_BASE_URL=<api>\n'), undefined);
    assert.equal(await authorizationFor(openai, 'NIGHTSHIFT_BASE_URL=<api>\nNIGHTSHIFT_API_KEY=of-file\n'), 'Bearer of-file');
    const elsewhere = { NIGHTSHIFT_BASE_URL: 'http://gpu.example/v1', NIGHTSHIFT_API_KEY: 'ours' };
    assert.equal(await authorizationFor(elsewhere, null, ['--base-url', '<api>']), undefined);
    assert.equal(await authorizationFor(elsewhere, null, ['--base-url', '<api>', '--api-key', 'given']), 'Bearer given');
  });

  it('say which API is used unless it is the default, and which setting has the key to mend', async () => {
    await using api = await startFakeApi(() => ({ status: 401, body: { error: { message: 'Missing or incorrect API key.' } } }));
    const unfiltered: string[] = [];
    const ended = await nightshift(
      api.baseUrl,
      ['list'],
      folder,
      { OPENAI_API_KEY: 'sk-real' },
      {
        onStart: (child) => child.stderr?.on('data', (chunk: Buffer) => unfiltered.push(chunk.toString())),
      },
    );
    assert.equal(unfiltered.join('').split('\n')[0], `API: ${api.baseUrl} (from NIGHTSHIFT_BASE_URL)`);
    assert.match(ended.stderr, /incorrect API key\. OPENAI_API_KEY was not sent.*Set NIGHTSHIFT_API_KEY.*\(HTTP 401\)/);
    const wrong = await nightshift(api.baseUrl, ['list', '--quiet'], folder, { NIGHTSHIFT_API_KEY: 'k' });
    assert.equal(wrong.stderr, 'Missing or incorrect API key. The key was that of NIGHTSHIFT_API_KEY. (HTTP 401)\n');
  });

  it('take relative paths from the folder where npm was called', async () => {
    await using api = await startFakeApi((_method, path) => ({ body: path === '/v1/files' ? { id: 'file-in' } : aBatch() }));
    const below = join(folder, 'below');
    await mkdir(below, { recursive: true });
    await writeFile(join(below, 'here.jsonl'), await readFile(input));
    const env = { INIT_CWD: below, npm_lifecycle_event: 'nightshift' };
    assert.equal((await nightshift(api.baseUrl, ['submit', 'here.jsonl'], folder, env)).code, 0);
    assert.equal((await nightshift(api.baseUrl, ['submit', 'here.jsonl'], folder, { INIT_CWD: below })).code, 1);
  });
});

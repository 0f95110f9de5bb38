import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import { listen } from '../helpers/listen.ts';
import { freePort } from '../helpers/servers.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

interface Shown {
  in_flight?: number;
  waiting?: { reason: string; message: string; upstream: string | null; server_says: string | null; lines: number | null }[];
  failures?: { status: number | null; code: string; message: string; lines: number; example: string; custom_ids: string[] }[];
}

const LINES = 6;
const USAGE = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
const ANSWER = {
  id: 'a',
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'yes' } }],
  usage: USAGE,
};

describe('why a batch waits', () => {
  let stack: Stack;
  let folder: string;
  const servers: Awaited<ReturnType<typeof listen>>[] = [];

  /** A model server that answers each model by its name, and `slow` never. */
  async function startServer(): Promise<string> {
    const tries = new Map<string, number>();
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { model, messages } = JSON.parse(Buffer.concat(chunks).toString());
        const [{ content }] = messages;
        tries.set(content, (tries.get(content) ?? 0) + 1);
        const fails: Record<string, number> = { refusing: 503, failing: 500, denying: 401, wrong: 400 };
        const status = fails[model] ?? (content.endsWith('backs-off') && tries.get(content) === 1 ? 500 : 200);
        if (model === 'slow') return;
        const isBudget = model === 'budget';
        const headers = isBudget ? { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '30s' } : {};
        response.writeHead(status, { 'content-type': 'application/json', ...headers });
        const error = { message: `server words ${status}`, type: 'some_error', code: null, param: null };
        response.end(JSON.stringify(status === 200 ? { ...ANSWER, model } : { error }));
      });
    });
    const listening = await listen(server);
    servers.push(listening);
    return `${listening.origin}/v1`;
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nightshift-reasons-'));
    const path = join(folder, 'upstreams.json');
    const url = await startServer();
    const hour = new Date().getUTCHours();
    const clock = (hours: number) => `${String((hour + hours) % 24).padStart(2, '0')}:00`;
    const upstream = (name: string, more: object = {}) => ({
      ...{ name, base_urls: [url], models: [name], check_models: false, limiter: 'fixed', max_in_flight: 1 },
      ...more,
    });
    const upstreams = [
      upstream('away', { base_urls: [`http://127.0.0.1:${await freePort()}/v1`] }),
      ...['refusing', 'failing', 'denying', 'budget', 'slow', 'wrong'].map((name) => upstream(name)),
      upstream('quiet', { active: `${clock(3)}-${clock(4)} UTC` }),
      upstream('fine', { max_in_flight: 4 }),
    ];
    await writeFile(path, JSON.stringify(upstreams));
    stack = await startStack({ env: { NIGHTSHIFT_UPSTREAMS_FILE: path, NIGHTSHIFT_UPSTREAM_URL: '', NIGHTSHIFT_LINES_PER_ACTIVITY: '6' } });
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    for (const server of servers) await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  async function begin(model: string, ids = Array.from({ length: LINES }, (_, at) => `${model}-${at}`)): Promise<string> {
    const lines = ids.map((id) => chatLine(id).replace('example-model', model));
    const { id } = await submit(stack.client(), `${lines.join('\n')}\n`);
    return id;
  }

  const shown = async (id: string): Promise<Shown> => Object(await stack.client().batches.retrieve(id)).nightshift ?? {};

  async function waitsFor(id: string, reason: string, seconds = 40) {
    let last: Shown = {};
    const look = async () => (last = await shown(id)).waiting?.find((each) => each.reason === reason) ?? null;
    return await until(look, { what: `${reason} of ${id}`, seconds, everyMs: 300, upToMs: 1_000 }).catch((error: unknown) =>
      assert.fail(`${String(error)}; shown was ${JSON.stringify(last)}`),
    );
  }

  const SINCE = String.raw` since \d{4}-\d\d-\d\d \d\d:\d\d UTC`;
  const SENTENCES: [model: string, reason: string, sentence: RegExp][] = [
    ['away', 'upstream_away', new RegExp(`^Waits for upstream away, which cannot be reached${SINCE}: .*ECONNREFUSED`)],
    ['refusing', 'upstream_refuses', new RegExp(`^Waits for .*upstream refusing, which refuses requests${SINCE}: .*server words 503`)],
    ['failing', 'upstream_fails', new RegExp(`^Waits for .*upstream failing, which fails every request${SINCE}: .*server words 500`)],
    ['denying', 'upstream_denies', new RegExp(`^Waits for .*upstream denying, which denies access${SINCE}: .*server words 401`)],
    ['quiet', 'quiet_hours', /^Waits until \d\d:00 UTC, because upstream quiet has quiet hours\.$/],
    ['budget', 'budget', /^Waits for the rate limit of upstream budget\.$/],
  ];
  for (const [model, reason, sentence] of SENTENCES) {
    it(`says ${reason} in a sentence`, { timeout: 90_000 }, async () => {
      const found = await waitsFor(await begin(model), reason);
      assert.match(found.message, sentence);
      assert.equal(found.upstream, model);
      assert.ok((found.lines ?? 0) > 0 && (found.lines ?? 0) <= LINES, `${found.lines} lines`);
    });
  }

  it('says backoff with the words of the server', { timeout: 60_000 }, async () => {
    const id = await begin('fine', ['ok-1', 'ok-2', 'backs-off']);
    const found = await waitsFor(id, 'backoff');
    assert.match(found.message, /^Waits before the next try at upstream fine: .*server words 500/);
    await ended(stack.client(), id);
  });

  it('says paused', { timeout: 60_000 }, async () => {
    const id = await begin('slow');
    await fetch(`${stack.baseURL}/batches/${id}/pause`, { method: 'POST', headers: { authorization: 'Bearer key-a' } });
    assert.match((await waitsFor(id, 'paused')).message, /^The batch is paused since .* UTC\. Resume it to go on\.$/);
    await stack.client().batches.cancel(id);
  });

  it('groups failed lines by cause, in the record of the ended batch too', { timeout: 60_000 }, async () => {
    const batch = await ended(stack.client(), await begin('wrong'));
    const { failures } = Object(batch).nightshift;
    const custom_ids = ['wrong-0', 'wrong-1', 'wrong-2'];
    assert.deepEqual(failures, [
      { status: 400, code: 'some_error', message: 'server words 400', lines: LINES, example: 'wrong-0', custom_ids },
    ]);
  });

  it('says places while others are first, then no_worker once the worker is gone', { timeout: 180_000 }, async () => {
    const first = await begin('slow');
    await until(async () => ((await shown(first)).in_flight ?? 0) > 0, { what: 'a request in flight', seconds: 40, everyMs: 300 });
    const second = await begin('slow', ['second']);
    assert.match((await waitsFor(second, 'places')).message, /^Waits for upstream slow, which is busy with other requests/);
    await stack.worker.stop('SIGKILL');
    assert.match((await waitsFor(first, 'no_worker', 90)).message, /^Waits for a worker: none has taken requests of this batch since/);
  });
});

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import { listen } from '../helpers/listen.ts';
import { startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const LINES = 1_500;
const LATENCY_MS = 300;
/** Requests that a server works on at a time; the others wait. */
const CAPACITY = 16;
/** Of the rate of one healthy server alone, what two servers must reach while one of them fails. */
const LEAST_SHARE = 0.8;

type Fault = 'hung' | 500 | 404 | 503 | 'slow' | null;
const FAULTS: readonly Exclude<Fault, null>[] = ['hung', 500, 404, 503, 'slow'];

interface ModelServer extends AsyncDisposable {
  readonly url: string;
  calls: number;
  fault: Fault;
}

async function startModelServer(): Promise<ModelServer> {
  const waiting: (() => void)[] = [];
  let running = 0;
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      if (request.method === 'POST') void answer(response);
      else response.writeHead(404).end();
    });
  });

  async function answer(response: ServerResponse): Promise<void> {
    found.calls += 1;
    const { fault } = found;
    if (fault === 'hung') return;
    if (typeof fault === 'number') return void response.writeHead(fault).end('out of order');
    if (running >= CAPACITY) await new Promise<void>((resolve) => waiting.push(resolve));
    running += 1;
    await delay(fault === 'slow' ? 3 * LATENCY_MS : LATENCY_MS);
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"object":"chat.completion","choices":[]}');
    running -= 1;
    waiting.shift()?.();
  }

  const listening = await listen(server);
  const found: ModelServer = {
    ...listening,
    url: `${listening.origin}/v1`,
    calls: 0,
    fault: null,
  };
  return found;
}

describe('an upstream of two servers', () => {
  it('keeps 0.8 of the rate of a healthy server alone, whatever befalls the other', { timeout: 1_200_000 }, async (t) => {
    await using cleanup = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'nightshift-servers-'));
    cleanup.defer(async () => await rm(folder, { recursive: true }));
    const healthy = new Map<string, ModelServer>();
    const failing = new Map<string, ModelServer>();
    for (const name of ['alone', ...FAULTS.map(String)]) {
      healthy.set(name, cleanup.use(await startModelServer()));
      if (name !== 'alone') failing.set(name, cleanup.use(await startModelServer()));
    }
    const upstreams = [...healthy].map(([name, server]) => ({
      name: `servers-${name}`,
      base_urls: [server.url, failing.get(name)?.url].filter((url) => url !== undefined),
      models: [name],
      check_models: false,
    }));
    await writeFile(join(folder, 'upstreams.json'), JSON.stringify(upstreams));
    const stack = cleanup.use(
      await startStack({ env: { NIGHTSHIFT_UPSTREAM_URL: '', NIGHTSHIFT_UPSTREAMS_FILE: join(folder, 'upstreams.json') } }),
    );
    const client = stack.client();

    /** Seconds from creation to the end. The other server begins to fail when a tenth of the calls is made. */
    async function secondsOf(name: string, fault: Fault): Promise<number> {
      const input = Array.from({ length: LINES }, (_, at) => chatLine(`${name}-${at + 1}`).replace('example-model', name));
      const other = failing.get(name);
      const startMs = performance.now();
      const { id } = await submit(client, input.join('\n'));
      if (other !== undefined) {
        const calls = () => other.calls + (healthy.get(name)?.calls ?? 0);
        await until(() => calls() > LINES / 10, { what: 'a tenth of the calls', everyMs: 10, seconds: 60 });
        other.fault = fault;
      }
      const batch = await ended(client, id, 300);
      assert.deepEqual(batch.request_counts, { total: LINES, completed: LINES, failed: 0 }, `${name}: ${batch.status}`);
      return (performance.now() - startMs) / 1000;
    }

    const alone = await secondsOf('alone', null);
    t.diagnostic(`one healthy server: ${alone.toFixed(1)} s`);
    const shares: [string, number][] = [];
    for (const fault of FAULTS) {
      const seconds = await secondsOf(String(fault), fault);
      shares.push([String(fault), alone / seconds]);
      t.diagnostic(`the other one ${fault}: ${seconds.toFixed(1)} s, ${(alone / seconds).toFixed(2)} of the rate`);
    }
    assert.deepEqual(
      shares.filter(([, share]) => share < LEAST_SHARE),
      [],
    );
  });
});

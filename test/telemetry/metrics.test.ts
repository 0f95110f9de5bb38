import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { chatLine, chatLines, ended, submit } from '../helpers/lines.ts';
import { freePort } from '../helpers/servers.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const read = async (path: string) => await readFile(new URL(`../../${path}`, import.meta.url), 'utf8');
/** What Prometheus adds itself. */
const OF_PROMETHEUS = new Set(['up']);

/** The samples of a scrape: values by `name{labels}`, as they are written. */
function samplesOf(text: string): Map<string, number> {
  const rows = text.split('\n').filter((row) => row !== '' && !row.startsWith('#'));
  return new Map(rows.map((row) => [row.slice(0, row.lastIndexOf(' ')), Number(row.slice(row.lastIndexOf(' ') + 1))]));
}

/** Every name that a query may use: of samples, and of metrics that have none yet. */
function namesOf(text: string): Set<string> {
  const declared = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  );
  return new Set([...declared, ...[...samplesOf(text).keys()].map((sample) => sample.replace(/\{.*/, ''))]);
}

/** Names of metrics in a query. */
function namesIn(query: string): string[] {
  const bare = query
    .replace(/"[^"]*"/g, '')
    .replace(/\b(by|on|without) *\([^)]*\)/g, '')
    .replace(/\{[^}]*\}/g, '');
  return [...bare.matchAll(/\b(?:nightshift|temporal|process|nodejs)_\w+|\bup\b/g)].map(([name]) => name);
}

describe('GET /metrics', () => {
  let stack: Stack;
  let ports: { api: number; worker: number };
  const scrape = async (port: number) => await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  /** The value of one sample, whichever order its labels have. */
  async function valueOf(port: number, name: string, labels: Record<string, string>): Promise<number> {
    for (const [sample, value] of samplesOf(await scrape(port))) {
      const [found = '', rest = ''] = sample.split('{');
      if (found === name && Object.entries(labels).every(([key, wanted]) => rest.includes(`${key}="${wanted}"`))) return value;
    }
    return Number.NaN;
  }

  before(async () => {
    ports = { api: await freePort(), worker: await freePort() };
    stack = await startStack({
      ownMinio: true,
      env: {
        NIGHTSHIFT_METRICS_PORT: String(ports.api),
        NIGHTSHIFT_WORKER_HTTP_PORT: String(ports.worker),
        NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '1',
        // So few that some are dropped, which is counted from the first one on.
        NIGHTSHIFT_MAX_CACHED_WORKFLOWS: '2',
        NIGHTSHIFT_LOG_LEVEL: 'debug',
      },
    });
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('counts what became of a batch, its lines and its attempts', async () => {
    const input = chatLines(3) + `${chatLine('refused', 'status=400')}\n`;
    const batch = await ended(stack.client(), (await submit(stack.client(), input)).id);
    assert.equal(batch.status, 'completed');
    const failed = batch.request_counts?.failed ?? 0;
    const ends = async () => await valueOf(ports.worker, 'nightshift_batch_duration_seconds_count', { status: 'completed' });
    await until(async () => (await ends()) === 1, { what: 'the worker to have counted the end' });

    assert.equal(await valueOf(ports.worker, 'nightshift_lines_total', { outcome: 'completed' }), 4 - failed);
    assert.equal(await valueOf(ports.worker, 'nightshift_lines_total', { outcome: 'failed' }), failed);
    const attempts = async (result: string) =>
      await valueOf(ports.worker, 'nightshift_upstream_attempts_total', { upstream: 'default', result });
    assert.equal(await attempts('answered'), 4 - failed);
    assert.equal(await attempts('rejected'), failed);
    assert.equal(await valueOf(ports.api, 'nightshift_batch_transitions_total', { status: 'validating' }), 1);
    for (const status of ['in_progress', 'finalizing', 'completed']) {
      assert.equal(await valueOf(ports.worker, 'nightshift_batch_transitions_total', { status }), 1, status);
    }
    const created = { method: 'POST', route: '/v1/batches', status: '200' };
    assert.equal(await valueOf(ports.api, 'nightshift_http_request_duration_seconds_count', created), 1);
    for (const sweep of ['revive', 'clean']) {
      await until(async () => (await valueOf(ports.worker, 'nightshift_sweep_runs_total', { sweep, result: 'ok' })) > 0, {
        what: `a sweep: ${sweep}`,
      });
    }
  });

  it('has every metric of the alerts, the dashboard and the documentation, and the documentation has every metric of ours', async () => {
    const texts = await Promise.all([scrape(ports.api), scrape(ports.worker)]);
    const known = new Set([...OF_PROMETHEUS, ...texts.flatMap((text) => [...namesOf(text)])]);
    const { groups } = parse(await read('deploy/prometheus/alerts.yml'));
    const rules: { expr: string; annotations: { runbook: string } }[] = groups.flatMap(({ rules: each }: { rules: [] }) => each);
    const { panels } = JSON.parse(await read('deploy/grafana/dashboards/nightshift.json'));
    const queries: string[] = panels.flatMap(({ targets = [] }: { targets?: { expr: string }[] }) => targets.map(({ expr }) => expr));
    const operations = await read('docs/operations.md');

    const asked = [...rules.map(({ expr }) => expr), ...queries].map((query) => ({ query, names: namesIn(query) }));
    for (const { query, names } of asked) {
      assert.notDeepEqual(names, [], `no metric found in ${query}`);
      for (const name of names) assert.ok(known.has(name), `${name} of ${query}`);
    }
    assert.ok(rules.length > 10 && queries.length > 25);

    const documented = [...operations.matchAll(/^\| `((?:nightshift|temporal|nodejs|process)_\w+)` \|/gm)].map(([, name = '']) => name);
    const metrics = texts.flatMap((text) => [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name));
    assert.deepEqual(
      documented.filter((name) => !metrics.includes(name)),
      [],
    );
    const own = new Set(metrics.filter((name) => name.startsWith('nightshift_')));
    assert.deepEqual(
      [...own].filter((name) => !documented.includes(name)),
      [],
    );

    const headings = new Set(
      [...operations.matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
        text
          .toLowerCase()
          .replace(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      ),
    );
    for (const { annotations } of rules) {
      const [path, anchor = ''] = annotations.runbook.split('#');
      assert.equal(path, 'docs/operations.md');
      assert.ok(headings.has(anchor), `the runbook has no section ${anchor}`);
    }
  });

  it('has a test for promtool of every alert, for when it fires and for when it does not', async () => {
    const { groups } = parse(await read('deploy/prometheus/alerts.yml'));
    const alerts: string[] = groups.flatMap(({ rules }: { rules: { alert: string }[] }) => rules.map(({ alert }) => alert));
    const { tests } = parse(await read('deploy/prometheus/alerts.test.yml'));
    const cases: { alertname: string; exp_alerts?: object[] }[] = tests.flatMap(
      ({ alert_rule_test = [] }: { alert_rule_test?: [] }) => alert_rule_test,
    );
    const named = (fires: boolean) => new Set(cases.filter((one) => (one.exp_alerts !== undefined) === fires).map((one) => one.alertname));
    assert.deepEqual(named(true), new Set(alerts));
    assert.deepEqual(named(false), new Set(alerts));
  });

  it('shows no name of a tenant, batch, file or model', async () => {
    const text = (await Promise.all([scrape(ports.api), scrape(ports.worker)])).join('\n');
    assert.doesNotMatch(text, /tenant-a|batch_[0-9a-f]{32}|file-[0-9a-f]{24}|example-model/);
  });

  it('is not served where tenants are', async () => {
    const answer = await fetch(`${stack.origin}/metrics`);
    assert.equal(answer.status, 404);
  });

  it('tells that an upstream is unavailable, and the log tells when it began and ended', async () => {
    const closed = async () => await valueOf(ports.worker, 'nightshift_upstream_gate_closed', { upstream: 'default', reason: 'refused' });
    assert.equal(await closed(), 0);
    await stack.upstream.set({ fail503: 1 });
    const { id } = await submit(stack.client(), chatLines(6, 'held-'));
    await until(async () => (await closed()) === 1, { what: 'the gate to close' });
    // What a process writes may arrive a little later than what it answers.
    const logged = async (row: RegExp) => await until(() => row.test(stack.worker.log()), { what: `${row} in the log` });
    await logged(
      /"level":"warn".*"upstream":"default","server":"127.0.0.1:\d+".*"class":"refused","reason":"status 503: .*the upstream is unavailable/,
    );
    await logged(new RegExp(`"level":"debug".*"batch":"${id}","line":\\d.*"result":"refused","status":503.*attempt failed`));
    // Too young for the sweep to look after it.
    const open = async () => await valueOf(ports.worker, 'nightshift_open_batches', { status: 'new' });
    await until(async () => (await open()) === 1, { what: 'the sweep to find the batch open' });
    const waiting = async () => await valueOf(ports.worker, 'nightshift_upstream_waiting', { upstream: 'default' });
    await until(async () => (await waiting()) > 0, { what: 'requests to wait at the gate', everyMs: 20 });
    await stack.upstream.set({ fail503: 0 });
    assert.equal((await ended(stack.client(), id)).status, 'completed');
    await logged(/"level":"info".*"upstream":"default".*the upstream is available again/);
    assert.equal(await closed(), 0);
    assert.ok((await valueOf(ports.worker, 'nightshift_upstream_wait_seconds_count', { reason: 'gate' })) > 0);
  });

  it('counts the calls that Temporal and the bucket do not answer', async () => {
    const ready = async () => await (await fetch(`http://127.0.0.1:${ports.api}/ready`)).json();
    const temporalErrors = async () => await valueOf(ports.api, 'nightshift_temporal_errors_total', { operation: 'ping' });
    const bucketErrors = async () => await valueOf(ports.worker, 'nightshift_object_store_errors_total', { operation: 'ping' });
    // A machine that paused may have counted some already.
    const [temporalBefore, bucketBefore] = [await temporalErrors(), await bucketErrors()];

    stack.temporal.process.kill('SIGSTOP');
    try {
      // An answer that came before the stop may be remembered for a moment.
      await until(async () => isDeepStrictEqual(await ready(), { ready: true, temporal: false, bucket: true }), {
        what: 'Temporal to be away',
      });
      await until(async () => (await temporalErrors()) > temporalBefore, { what: 'the call to Temporal to be given up' });
    } finally {
      stack.temporal.process.kill('SIGCONT');
    }
    stack.minio.process.kill('SIGKILL');
    const worker = async () => await (await fetch(`http://127.0.0.1:${ports.worker}/ready`)).json();
    // Temporal stood still until now and may take a moment to answer again.
    const isWithoutBucket = async () => isDeepStrictEqual(await worker(), { ready: false, working: true, temporal: true, bucket: false });
    await until(isWithoutBucket, { what: 'the worker to miss the bucket and nothing else' });
    await until(async () => (await bucketErrors()) > bucketBefore, { what: 'the call to the bucket to be given up' });
    assert.equal((await fetch(`http://127.0.0.1:${ports.worker}/health`)).status, 200);
  });
});

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { TEMPORAL_FILE_FLAGS, TEMPORAL_FLAGS } from '../../src/processes/local/temporal-flags.ts';
import { composeServices, type Service } from './compose-file.ts';

const services = await composeServices();
const text = await readFile('docker-compose.yml', 'utf8');
const [configuration, operations, example] = await Promise.all(
  ['docs/configuration.md', 'docs/operations.md', '.env.example'].map(async (path) => await readFile(path, 'utf8')),
);

/** Settings that the compose file makes itself, or that no container has a use for. */
const NOT_PASSED: Record<string, string> = {
  NIGHTSHIFT_API_HOST: 'the API listens on the network of the compose file',
  NIGHTSHIFT_API_PORT: 'the published port; inside it is 7800',
  NIGHTSHIFT_METRICS_HOST: 'operators reach it on the network of the compose file',
  NIGHTSHIFT_METRICS_PORT: '7801 inside',
  NIGHTSHIFT_WORKER_HTTP_PORT: '7801 inside',
  NIGHTSHIFT_TEMPORAL_ADDRESS: 'the file brings its own Temporal',
  NIGHTSHIFT_TEMPORAL_API_KEY: 'its own Temporal has no keys',
  NIGHTSHIFT_TEMPORAL_TLS: 'its own Temporal has no TLS',
  NIGHTSHIFT_TEMPORAL_TLS_CA_FILE: 'its own Temporal has no TLS',
  NIGHTSHIFT_TEMPORAL_TLS_CERT_FILE: 'its own Temporal has no TLS',
  NIGHTSHIFT_TEMPORAL_TLS_KEY_FILE: 'its own Temporal has no TLS',
  NIGHTSHIFT_TEMPORAL_TLS_SERVER_NAME: 'its own Temporal has no TLS',
  NIGHTSHIFT_TEMPORAL_UI_PORT: 'a published port',
  NIGHTSHIFT_EXAMPLE_UPSTREAM_PORT: 'a published port',
  NIGHTSHIFT_S3_ENDPOINT: 'the file brings its own bucket',
  NIGHTSHIFT_STORE: 'the file brings MinIO',
  NIGHTSHIFT_STORE_DIR: 'the file brings MinIO',
  NIGHTSHIFT_DATA_DIR: 'for `nightshift local`',
  NIGHTSHIFT_TEMPORAL_BIN: 'for `nightshift local`',
  NIGHTSHIFT_MINIO_BIN: 'for `nightshift local`',
  NIGHTSHIFT_TEMPORAL_TEST_SERVER_BIN: 'for tests',
  NIGHTSHIFT_BASE_URL: 'for the command line client',
};

function environmentOf(name: string): Record<string, string | number | null> {
  const environment = services[name]?.environment;
  assert.ok(environment !== undefined, `service ${name} has an environment`);
  return environment;
}

/** Whether the value that the shell or .env has for a variable reaches the container. */
function isPassed(environment: Service['environment'], variable: string): boolean {
  const value = environment?.[variable];
  return value === null || (typeof value === 'string' && value.startsWith(`\${${variable}`));
}

describe('docker-compose.yml', () => {
  it('starts Temporal with the flags of `nightshift local`', () => {
    const command = services['temporal']?.command ?? [];
    const own = /^(server|start-dev|--(ip|ui-ip|db-filename|namespace|log-level)=.*)$/;
    assert.deepEqual(command.filter((flag) => !own.test(flag)).sort(), [...TEMPORAL_FILE_FLAGS, ...TEMPORAL_FLAGS].sort());
  });

  for (const [, variable = ''] of (example ?? '').matchAll(/^# (NIGHTSHIFT_\w+)=/gm)) {
    if (variable in NOT_PASSED) continue;
    it(`passes ${variable} of the shell or .env to a container`, () => {
      const takers = Object.values(services).filter(({ environment }) => isPassed(environment, variable));
      assert.notEqual(takers.length, 0, `${variable} reaches no container: add it to x-settings, api or worker in docker-compose.yml`);
    });
  }

  it('passes each OpenTelemetry variable that docs/configuration.md names', () => {
    const named = [...new Set((configuration ?? '').match(/\bOTEL_[A-Z_]+[A-Z]\b/g))];
    assert.ok(named.length > 5);
    for (const variable of named)
      for (const name of ['api', 'worker']) assert.ok(isPassed(environmentOf(name), variable), `${name}: ${variable}`);
  });

  it('gives the API no key of an upstream, workers no key of a client, and both no key of the root of MinIO', () => {
    assert.deepEqual(
      Object.keys(environmentOf('api')).filter((name) => /UPSTREAM|ROOT/.test(name)),
      [],
    );
    assert.deepEqual(
      Object.keys(environmentOf('worker')).filter((name) => /API_KEYS|ROOT/.test(name)),
      [],
    );
    for (const { env_file: file } of Object.values(services)) assert.equal(file, undefined);
  });

  it('lets API and worker start only after their user of the bucket is made', () => {
    for (const name of ['api', 'worker'])
      assert.equal(services[name]?.depends_on?.['bucket-user']?.condition, 'service_completed_successfully');
    assert.notEqual(environmentOf('minio')['MINIO_ROOT_USER'], environmentOf('api')['NIGHTSHIFT_S3_ACCESS_KEY']);
  });

  for (const [name, service] of Object.entries(services)) {
    it(`confines ${name}, and bounds its memory, CPUs, processes and log`, () => {
      assert.equal(service.read_only, true);
      assert.deepEqual(service.cap_drop, ['ALL']);
      assert.deepEqual(service.security_opt, ['no-new-privileges:true']);
      assert.match(service.mem_limit ?? '', /^\d+[mg]$/);
      assert.ok(Number(service.cpus) > 0 && Number(service.cpus) <= 2);
      assert.ok((service.pids_limit ?? 0) >= 64);
      assert.ok(service.logging?.options?.['max-size'] !== undefined && service.logging.options['max-file'] !== undefined);
      assert.match(service.image ?? '', /:[^:}]*\d|nightshift:local/, 'the image has a tag with a version');
      for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:/);
    });
  }

  it('has the memory limits that docs/operations.md names', () => {
    const rows = [...(operations ?? '').matchAll(/^\| `([a-z-]+)` \| (\d+) MiB \| (\d) \|$/gm)];
    const documented = Object.fromEntries(rows.map(([, name = '', mib, cpus]) => [name, [Number(mib), Number(cpus)]]));
    const mib = (limit: string) => Number.parseInt(limit, 10) * (limit.endsWith('g') ? 1024 : 1);
    const actual = Object.fromEntries(
      ['api', 'worker', 'temporal', 'minio', 'upstream', 'prometheus', 'grafana'].map((name) => [
        name,
        [mib(services[name]?.mem_limit ?? ''), Number(services[name]?.cpus)],
      ]),
    );
    assert.deepEqual(documented, actual);
  });

  it('waits longer for a container to stop than a process takes', () => {
    const [, graceSeconds] = /NIGHTSHIFT_SHUTDOWN_GRACE_SECONDS=(\d+)/.exec(example ?? '') ?? [];
    for (const name of ['api', 'worker'])
      assert.ok(Number.parseInt(services[name]?.stop_grace_period ?? '', 10) >= Number(graceSeconds) + 10, name);
  });

  it('has no variable that docs/configuration.md does not name', () => {
    for (const [, variable = ''] of text.matchAll(/\$\{(\w+)/g)) assert.ok(configuration?.includes(`\`${variable}\``), variable);
  });

  it('lets nobody log in to Grafana', () => {
    const environment = environmentOf('grafana');
    assert.equal(environment['GF_AUTH_BASIC_ENABLED'], 'false');
    assert.equal(environment['GF_AUTH_DISABLE_LOGIN_FORM'], 'true');
    assert.equal(environment['GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION'], 'true');
    assert.equal(environment['GF_AUTH_ANONYMOUS_ORG_ROLE'], 'Viewer');
  });
});

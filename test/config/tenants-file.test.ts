import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig } from '../../src/config/config.ts';
import { createTenantSettings } from '../../src/config/tenant-settings.ts';
import { parseTenants } from '../../src/config/tenants-file.ts';

const NONE = { requestsPerMinute: null, batchesPerHour: null, maxOpenBatches: null, maxStoredBytes: null };
const hash = (key: string) => createHash('sha256').update(key).digest('hex');

function faultsOf(text: string): string {
  const faults: string[] = [];
  parseTenants(text, NONE, faults);
  return faults.join('\n');
}

describe('parseTenants', () => {
  it('reads limits, weight, priority and keys of each tenant, as YAML and as JSON', () => {
    const defaults = { ...NONE, requestsPerMinute: 100, maxOpenBatches: 5 };
    const yaml = `
- name: team-a
  keys:
    - { name: ci, sha256: ${hash('one').toUpperCase()}, expires_at: 2027-01-31T00:00:00+01:00 }
    - sha256: ${hash('two')}
  max_open_batches: none
  max_stored_bytes: 1000
  weight: 2.5
  best_priority: 1
  operator: true
- name: team_b
`;
    const expected = {
      settings: {
        'team-a': {
          limits: { ...defaults, maxOpenBatches: null, maxStoredBytes: 1000 },
          weight: 2.5,
          bestPriority: 1,
          isOperator: true,
          bucket: null,
        },
        team_b: { limits: defaults, weight: 1, bestPriority: 3, isOperator: false, bucket: null },
      },
      keys: [
        { tenant: 'team-a', sha256Hex: hash('one'), expiresAtMs: Date.UTC(2027, 0, 30, 23) },
        { tenant: 'team-a', sha256Hex: hash('two'), expiresAtMs: null },
      ],
    };
    const faults: string[] = [];
    const tenants = parseTenants(yaml, defaults, faults);
    assert.deepEqual(faults, []);
    assert.deepEqual({ ...tenants, settings: { ...tenants.settings } }, expected);
    const json = JSON.stringify([{ name: 'x', batches_per_hour: 3 }]);
    assert.equal(parseTenants(json, NONE, faults).settings['x']?.limits.batchesPerHour, 3);
  });

  it('names the place of every fault, and shows no key or hash', () => {
    const text = `
- name: a
  keys: [{ key: sk-hidden }, { sha256: sk-hidden }, { sha256: ${hash('x')}, expires_at: tomorrow }]
  max_open_batch: 5
  requests_per_minute: 0
  weight: 0
  best_priority: 6
- name: bad name
- keys: []
`;
    const faults = faultsOf(text);
    for (const expected of [
      /a: keys\.0\.sha256 must be the hash/,
      /a: keys\.0 .*nightshift tenants hash/,
      /a: keys\.1\.sha256 must be 64 hex digits/,
      /a: keys\.2\.expires_at must be a time with its zone/,
      /a .*max_open_batch/,
      /a: requests_per_minute must be a whole number from 1 to 1000000, or none/,
      /a: weight must be a number from 0.001 to 1000/,
      /a: best_priority must be a whole number from 1 to 5/,
      /bad name: name must be/,
      /tenant 3: name/,
    ])
      assert.match(faults, expected);
    assert.doesNotMatch(faults, /sk-hidden/);
  });

  it('refuses tenants and keys that are there twice', () => {
    assert.match(faultsOf('[{ name: a }, { name: A }]'), /two tenants are named A/);
    const twice = `[{ name: a, keys: [{ sha256: ${hash('k')} }] }, { name: b, keys: [{ name: ci, sha256: ${hash('k')} }] }]`;
    assert.match(faultsOf(twice), /b: keys\.0 \(ci\) repeats an earlier key/);
    assert.doesNotMatch(faultsOf(twice), new RegExp(hash('k')));
  });

  it('refuses what is no list, as a file that is being written is', () => {
    for (const text of ['', 'name: a', '[', '- name: [', '5']) assert.notEqual(faultsOf(text), '', JSON.stringify(text));
    assert.equal(faultsOf('[]'), '');
  });
});

describe('the bucket of a tenant', () => {
  const read = (bucket: string) => {
    const faults: string[] = [];
    return { tenants: parseTenants(`- { name: a, bucket: ${bucket} }`, NONE, faults), faults };
  };

  it('has an endpoint, a name, a prefix and the files of its keys', () => {
    const { tenants, faults } = read(
      '{ endpoint: "https://s3.example.com", bucket: team-a, prefix: nightshift/out, access_key_file: /k/a, secret_key_file: /k/s }',
    );
    assert.deepEqual(faults, []);
    assert.deepEqual(tenants.settings['a']?.bucket, {
      endpoint: 'https://s3.example.com',
      region: 'us-east-1',
      bucket: 'team-a',
      prefix: 'nightshift/out/',
      accessKeyFile: '/k/a',
      secretKeyFile: '/k/s',
    });
  });

  it('is refused with one key, a key itself, a path in the endpoint and a prefix that some stores change', () => {
    for (const [bucket, fault] of [
      [
        '{ endpoint: "https://s3.example.com", bucket: team-a, access_key_file: /k/a }',
        /bucket must have access_key_file and secret_key_file/,
      ],
      ['{ endpoint: "https://s3.example.com", bucket: team-a, secret_key: x }', /secret_key/],
      ['{ endpoint: "https://s3.example.com/team-a", bucket: team-a }', /bucket\.endpoint must be scheme, host and port only/],
      ['{ endpoint: "https://s3.example.com", bucket: team-a, prefix: "../x" }', /bucket\.prefix must be names/],
      ['{ endpoint: "https://s3.example.com", bucket: Team }', /bucket\.bucket must be a bucket name/],
    ] as const)
      assert.match(read(bucket).faults.join(), fault);
  });
});

describe('NIGHTSHIFT_TENANTS_FILE', () => {
  const S3 = { NIGHTSHIFT_S3_ACCESS_KEY: 'access', NIGHTSHIFT_S3_SECRET_KEY: 'secret-key' };
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), 'nightshift-tenants-'))));
  after(() => rmSync(folder, { recursive: true }));

  function load(text: string, env: Record<string, string> = {}) {
    const path = join(folder, `${Math.random()}.yaml`);
    writeFileSync(path, text);
    return loadConfig({ ...S3, NIGHTSHIFT_TENANTS_FILE: path, ...env }, 'api');
  }

  function faults(text: string, env: Record<string, string> = {}): string {
    try {
      load(text, env);
      return '';
    } catch (error) {
      if (error instanceof ConfigError) return error.faults.join('\n');
      throw error;
    }
  }

  it('replaces keys, weights and priorities, and takes limits it leaves out from the variables', () => {
    const config = load(`[{ name: a, keys: [{ sha256: ${hash('k')} }], weight: 2 }]`, {
      NIGHTSHIFT_API_HOST: '0.0.0.0',
      NIGHTSHIFT_TENANT_BATCHES_PER_HOUR: '7',
    });
    const settingsOf = createTenantSettings(config.tenants.defaults, () => ({ settings: config.tenants.settings, keys: [] }));
    assert.deepEqual(settingsOf('a'), {
      limits: { ...NONE, batchesPerHour: 7 },
      weight: 2,
      bestPriority: 3,
      isOperator: false,
      bucket: null,
    });
    assert.deepEqual(settingsOf('constructor'), {
      limits: { ...NONE, batchesPerHour: 7 },
      weight: 1,
      bestPriority: 3,
      isOperator: false,
      bucket: null,
    });
    assert.equal(config.secrets.apiKeys?.length, 1);
  });

  it('lets nobody in where it holds no key', () => assert.deepEqual(load('[]').secrets.apiKeys, []));

  it('refuses the variables that it replaces, and names its faults and that it cannot be read', () => {
    for (const [name, value] of Object.entries({ API_KEYS: 'sk-long-enough-key=t', TENANT_WEIGHTS: 'a=2', TENANT_PRIORITIES: 'a=1' }))
      assert.match(faults('[]', { [`NIGHTSHIFT_${name}`]: value }), new RegExp(`NIGHTSHIFT_${name} has no effect beside`));
    assert.match(faults('[{ name: a, weigth: 2 }]'), /^NIGHTSHIFT_TENANTS_FILE: a .*weigth/);
    assert.match(
      faults('[]', { NIGHTSHIFT_TENANTS_FILE: '/no/such/file' }),
      /NIGHTSHIFT_TENANTS_FILE: the file "\/no\/such\/file" cannot be read/,
    );
  });
});

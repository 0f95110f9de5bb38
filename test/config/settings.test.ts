import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { bareEnvironment } from '../helpers/environment.ts';
import { loadClientConfig } from '../../src/config/client-settings.ts';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig, type Role } from '../../src/config/config.ts';
import { SECRET_SETTINGS } from '../../src/config/settings.ts';
import { rememberStore } from '../../src/config/store-settings.ts';

const S3 = { NIGHTSHIFT_S3_ACCESS_KEY: 'access', NIGHTSHIFT_S3_SECRET_KEY: 'secret-of-the-store' };
const KEY = 'sk-long-enough-for-everybody';
let folder: string;

before(() => (folder = mkdtempSync(join(tmpdir(), 'nightshift-settings-'))));
after(() => rmSync(folder, { recursive: true }));

function load(env: Record<string, string>, role: Role = 'worker') {
  return loadConfig({ NIGHTSHIFT_DATA_DIR: folder, ...env }, role);
}

function bucketOf(env: Record<string, string>) {
  const { store } = load(env);
  assert.ok(store.kind === 's3');
  return store;
}

function faultsOf(env: Record<string, string>, role: Role = 'worker'): readonly string[] {
  try {
    load(env, role);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

function file(content: string): string {
  const path = join(folder, `${Math.random()}`);
  writeFileSync(path, content);
  return path;
}

describe('a secret from a file', () => {
  it('takes every secret from NAME_FILE, without the line end', () => {
    const value = (name: string) => (name === 'API_KEYS' ? `${KEY}-a=a\n${KEY}-b=b\n` : `value-of-${name}\r\n`);
    const env = Object.fromEntries(SECRET_SETTINGS.map((name) => [`NIGHTSHIFT_${name}_FILE`, file(value(name))]));
    const { secrets } = load(env, 'local');
    assert.deepEqual(secrets.s3, { from: 'settings', keys: { accessKey: 'value-of-S3_ACCESS_KEY', secretKey: 'value-of-S3_SECRET_KEY' } });
    assert.equal(secrets.temporalApiKey, 'value-of-TEMPORAL_API_KEY');
    assert.equal(secrets.upstreams['default']?.apiKey, 'value-of-UPSTREAM_API_KEY');
    assert.equal(secrets.clientKey, 'value-of-API_KEY');
    assert.deepEqual(
      secrets.apiKeys?.map(({ tenant, sha256Hex }) => [tenant, sha256Hex]),
      ['a', 'b'].map((tenant) => [tenant, createHash('sha256').update(`${KEY}-${tenant}`).digest('hex')]),
    );
  });

  it('refuses a secret that is given twice, an empty file and a file that cannot be read', () => {
    for (const name of SECRET_SETTINGS) {
      const variable = `NIGHTSHIFT_${name}`;
      const twice = faultsOf({ [variable]: `${KEY}=t`, [`${variable}_FILE`]: file('hidden') }, 'local').join('\n');
      assert.match(twice, new RegExp(`${variable} and ${variable}_FILE are both set`));
      assert.doesNotMatch(twice, /hidden/);
      assert.match(
        faultsOf({ [`${variable}_FILE`]: file(' \n') }, 'local').join('\n'),
        new RegExp(`${variable}_FILE: the file ".*" is empty`),
      );
      for (const path of [join(folder, 'none'), folder])
        assert.match(
          faultsOf({ [`${variable}_FILE`]: path }, 'local').join('\n'),
          new RegExp(`${variable}_FILE: the file ".*" cannot be read`),
        );
    }
  });

  it('asks no process for the file of a secret that it does not use', () => {
    assert.deepEqual(faultsOf({ ...S3, NIGHTSHIFT_UPSTREAM_API_KEY_FILE: '/no/such/file' }, 'api'), []);
    assert.deepEqual(faultsOf({ ...S3, NIGHTSHIFT_API_KEYS_FILE: '/no/such/file' }, 'worker'), []);
  });

  it('lets the API listen beyond loopback with keys from a file', () => {
    assert.deepEqual(faultsOf({ ...S3, NIGHTSHIFT_API_HOST: '0.0.0.0', NIGHTSHIFT_API_KEYS_FILE: file(`${KEY}=t`) }, 'api'), []);
  });

  it('gives the key of an upstream from api_key_file', () => {
    const upstreams = (key: string) => file(JSON.stringify([{ name: 'gpu', base_urls: ['http://x/v1'], api_key_file: key }]));
    const config = load({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: upstreams(file('sk-gpu\n')) });
    assert.equal(config.secrets.upstreams['gpu']?.apiKey, 'sk-gpu');
    const faults = (key: string) => faultsOf({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: upstreams(key) }).join();
    assert.match(faults('/no/such/file'), /gpu: api_key_file: the file "\/no\/such\/file" cannot be read/);
    assert.match(faults(file('sk hidden')), /gpu takes its key from .*printable ASCII/);
    assert.doesNotMatch(faults(file('sk hidden')), /hidden/);
    const both = file('[{ name: gpu, base_urls: ["http://x/v1"], api_key_file: a, api_key_env: B }]');
    assert.match(faultsOf({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: both }).join(), /more than one of api_key, api_key_env and api_key_file/);
  });

  it('gives the command line client its key', () => {
    const keyOf = (env: Record<string, string>) => loadClientConfig({ env }).apiKey;
    assert.equal(keyOf({ NIGHTSHIFT_API_KEY_FILE: file('sk-mine\n') }), 'sk-mine');
    assert.equal(keyOf({ NIGHTSHIFT_API_KEYS_FILE: file('sk-first=t\nsk-second=t\n') }), 'sk-first');
    assert.equal(keyOf({ NIGHTSHIFT_API_KEYS_FILE: '/no/such/file' }), null);
    assert.throws(() => keyOf({ NIGHTSHIFT_API_KEY_FILE: '/no/such/file' }), ConfigError);
  });

  it('is not read by the client where only a .env file names it', () => {
    const named = { NIGHTSHIFT_BASE_URL: 'http://elsewhere/v1', NIGHTSHIFT_API_KEY_FILE: file('sk-private') };
    assert.equal(loadClientConfig({ env: {}, file: named }).apiKey, null);
  });
});

describe('NIGHTSHIFT_API_KEYS', () => {
  it('refuses keys that no client can send, without showing them', () => {
    for (const key of ['two words', 'sk-ключ', 'sk-\u0007', 'tab\there']) {
      const faults = faultsOf({ ...S3, NIGHTSHIFT_API_KEYS: `${key}=t` }, 'api').join();
      assert.match(faults, /NIGHTSHIFT_API_KEYS entry 1 has a key that no client can send/, key);
      assert.equal(faults.includes(key), false);
    }
    assert.match(faultsOf({ ...S3, NIGHTSHIFT_API_KEYS: 'sk-a,b=t' }, 'api').join(), /entry 1 must be .* A key cannot contain a comma/);
  });

  it('warns of short plain keys, and not of long ones or hashes', () => {
    const warnings = (keys: string) => load({ ...S3, NIGHTSHIFT_API_KEYS: keys }, 'api').warnings;
    assert.match(warnings('team1=t').join(), /entry 1 is 5 characters long and can be guessed/);
    assert.deepEqual(warnings(`${KEY}=t,sha256:${'0'.repeat(64)}=t`), []);
  });
});

describe('settings that contradict each other', () => {
  it('refuses a batch input that no upload can carry', () => {
    assert.match(
      faultsOf({ ...S3, NIGHTSHIFT_MAX_BATCH_INPUT_BYTES: '600000000' }).join(),
      /NIGHTSHIFT_MAX_BATCH_INPUT_BYTES is 600000000, but NIGHTSHIFT_MAX_UPLOAD_BYTES lets only 536870912/,
    );
    assert.match(faultsOf({ ...S3, NIGHTSHIFT_MAX_UPLOAD_BYTES: '100000' }).join(), /NIGHTSHIFT_MAX_BATCH_INPUT_BYTES/);
  });

  it('refuses a window longer than input files are kept', () => {
    for (const window of ['31d', '721h'])
      assert.match(faultsOf({ ...S3, NIGHTSHIFT_COMPLETION_WINDOWS: `24h,${window}` }).join(), new RegExp(window));
    assert.deepEqual(faultsOf({ ...S3, NIGHTSHIFT_COMPLETION_WINDOWS: '24h,30d' }), []);
  });

  it('refuses one port for two servers of a process, or of one machine', () => {
    const ports = { ...S3, NIGHTSHIFT_METRICS_PORT: '7801', NIGHTSHIFT_WORKER_HTTP_PORT: '7801' };
    assert.match(faultsOf({ ...S3, NIGHTSHIFT_METRICS_PORT: '7800' }, 'api').join(), /METRICS_PORT and NIGHTSHIFT_API_PORT are both 7800/);
    assert.match(faultsOf(ports, 'local').join(), /WORKER_HTTP_PORT and NIGHTSHIFT_METRICS_PORT are both 7801/);
    assert.deepEqual(faultsOf(ports, 'worker'), []);
    assert.deepEqual(faultsOf(ports, 'api'), []);
  });

  it('warns of limits that make another one useless', () => {
    const warnings = (env: Record<string, string>) => load({ ...S3, ...env }).warnings.join();
    assert.match(warnings({ NIGHTSHIFT_MAX_REQUESTS_PER_BATCH: '1000000' }), /NIGHTSHIFT_MAX_EMBEDDING_INPUTS \(50000\) is below/);
    assert.match(warnings({ NIGHTSHIFT_MAX_RESUMABLE_UPLOAD_BYTES: '1024' }), /takes? smaller files/);
    assert.match(warnings({ NIGHTSHIFT_TENANT_MAX_STORED_BYTES: '1000' }), /cannot store the largest batch input file/);
    assert.equal(warnings({}), '');
  });
});

describe('an unknown setting', () => {
  it('is a fault, or a warning where NIGHTSHIFT_STRICT is false', () => {
    const env = { ...S3, NIGHTSHIFT_TENANT_MAX_OPEN_BATCH: '5' };
    const sentence = 'Unknown setting NIGHTSHIFT_TENANT_MAX_OPEN_BATCH. Did you mean NIGHTSHIFT_TENANT_MAX_OPEN_BATCHES?';
    assert.deepEqual(faultsOf(env), [sentence]);
    assert.deepEqual(load({ ...env, NIGHTSHIFT_STRICT: 'false' }).warnings, [sentence]);
  });
});

describe('NIGHTSHIFT_S3_ENDPOINT and NIGHTSHIFT_S3_PREFIX', () => {
  it('refuses an endpoint with anything that would be dropped, and says what to do', () => {
    for (const rest of ['host/minio', 'host:9000/a/b/', 'user:hunter2@host', 'host/?x=hunter2', 'host/#a']) {
      const faults = faultsOf({ ...S3, NIGHTSHIFT_S3_ENDPOINT: `https://${rest}` }).join();
      assert.match(faults, /NIGHTSHIFT_S3_ENDPOINT must be scheme, host and port only.*NIGHTSHIFT_S3_PREFIX/, rest);
      assert.doesNotMatch(faults, /hunter2/);
    }
    assert.deepEqual(faultsOf({ ...S3, NIGHTSHIFT_S3_ENDPOINT: 'https://host:9000/' }), []);
  });

  it('ends a prefix with one slash, and refuses what some servers do not keep', () => {
    for (const given of ['a/b', 'a/b/']) assert.equal(bucketOf({ ...S3, NIGHTSHIFT_S3_PREFIX: given }).prefix, 'a/b/');
    assert.equal(bucketOf(S3).prefix, '');
    for (const given of ['/a', 'a//b', '..', 'a/../b', './a', 'a b', 'é', '/', 'a'.repeat(257)])
      assert.match(faultsOf({ ...S3, NIGHTSHIFT_S3_PREFIX: given }).join(), /NIGHTSHIFT_S3_PREFIX must be names/, given);
  });
});

describe('NIGHTSHIFT_STORE', () => {
  const newFolder = () => ({ NIGHTSHIFT_DATA_DIR: mkdtempSync(join(folder, 'store-')) });
  const kindOf = (env: Record<string, string>, role: Role = 'worker') => load(env, role).store.kind;

  it('is the embedded store for nightshift local, unless a setting of S3 is given', () => {
    const env = newFolder();
    assert.deepEqual(load(env, 'local').store, { kind: 'embedded', folder: join(env.NIGHTSHIFT_DATA_DIR, 'store') });
    assert.equal(kindOf({ ...env, NIGHTSHIFT_S3_ENDPOINT: 'http://127.0.0.1:9000' }, 'local'), 's3');
    assert.equal(kindOf({ ...env, NIGHTSHIFT_S3_SECRET_KEY_FILE: file('s'), NIGHTSHIFT_S3_ACCESS_KEY: 'a' }, 'local'), 's3');
    assert.equal(kindOf({ ...env, ...S3, NIGHTSHIFT_STORE: 'embedded' }, 'local'), 'embedded');
  });

  it('is S3 for API and worker, unless nightshift local used the embedded one in this data folder', () => {
    const env = newFolder();
    assert.match(faultsOf(env).join(), /NIGHTSHIFT_S3_ACCESS_KEY and .* are missing.*or NIGHTSHIFT_STORE=embedded/);
    assert.equal(kindOf({ ...env, NIGHTSHIFT_STORE: 'embedded' }), 'embedded');
    rememberStore(env.NIGHTSHIFT_DATA_DIR, 'embedded');
    assert.equal(kindOf(env), 'embedded');
    assert.equal(kindOf({ ...env, ...S3 }), 's3');
  });

  it('keeps its objects where NIGHTSHIFT_STORE_DIR says', () => {
    const { store } = load({ NIGHTSHIFT_STORE: 'embedded', NIGHTSHIFT_STORE_DIR: '/var/lib/nightshift' });
    assert.deepEqual(store, { kind: 'embedded', folder: '/var/lib/nightshift' });
  });

  it('encrypts the secrets of webhooks with the same key as the local MinIO, so that a copy can read them', () => {
    const env = newFolder();
    const { webhookKey } = load(env, 'local').secrets;
    assert.ok((webhookKey ?? '').length >= 40);
    assert.equal(load({ ...env, NIGHTSHIFT_STORE: 's3' }).secrets.webhookKey, webhookKey);
    assert.equal(load({ ...env, NIGHTSHIFT_STORE: 'embedded' }).secrets.webhookKey, webhookKey);
  });

  it('warns API and worker of a data folder that was used with the other store', () => {
    const env = newFolder();
    rememberStore(env.NIGHTSHIFT_DATA_DIR, 'embedded');
    assert.deepEqual(load(env).warnings, []);
    assert.match(
      load({ ...env, ...S3 }).warnings.join(),
      /last used with the embedded store.*nightshift store copy --from embedded --to s3/,
    );
  });
});

describe('credentials of the bucket', () => {
  const remote = { NIGHTSHIFT_S3_ENDPOINT: 'https://s3.eu-west-1.amazonaws.com' };
  const source = (env: Record<string, string>) => {
    const { s3 } = load({ ...remote, ...env }).secrets;
    return s3?.from === 'AWS' ? s3.source : s3?.from;
  };

  it('come from AWS in the order of its SDKs, where no keys are set', () => {
    const instance = { kind: 'instance', endpoint: 'http://169.254.169.254', isNamed: false };
    assert.deepEqual(source({}), instance);
    const container = { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/creds' };
    assert.deepEqual(source(container), { kind: 'container', url: 'http://169.254.170.2/v2/creds', token: null, tokenFile: null });
    const web = { ...container, AWS_WEB_IDENTITY_TOKEN_FILE: '/token', AWS_ROLE_ARN: 'arn:role', AWS_REGION: 'cn-north-1' };
    const stsEndpoint = 'https://sts.cn-north-1.amazonaws.com.cn';
    assert.deepEqual(source(web), {
      kind: 'web identity',
      tokenFile: '/token',
      roleArn: 'arn:role',
      sessionName: 'nightshift',
      stsEndpoint,
    });
    const keys = { ...web, AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 's', AWS_SESSION_TOKEN: 't' };
    assert.deepEqual(source(keys), { kind: 'keys', accessKey: 'a', secretKey: 's', sessionToken: 't' });
    assert.equal(source({ ...keys, ...S3 }), 'settings');
  });

  it('are not looked for in a metadata service where the store is not that of AWS', () => {
    const elsewhere = { NIGHTSHIFT_S3_ENDPOINT: 'https://minio.example.com' };
    assert.match(faultsOf(elsewhere).join(), /NIGHTSHIFT_S3_ACCESS_KEY and NIGHTSHIFT_S3_SECRET_KEY are missing/);
    assert.match(faultsOf({ ...remote, AWS_EC2_METADATA_DISABLED: 'true' }).join(), /are missing/);
    const named = bucketOf({ ...elsewhere, AWS_EC2_METADATA_SERVICE_ENDPOINT: 'http://127.0.0.1:1' });
    assert.equal(named.credentials, 'AWS: instance');
  });

  it('are a fault where AWS has half a pair', () => {
    assert.match(faultsOf({ ...remote, AWS_ACCESS_KEY_ID: 'a' }).join(), /AWS_SECRET_ACCESS_KEY is missing/);
  });

  it('are those of the local MinIO only where the endpoint is on this machine', () => {
    const env = { NIGHTSHIFT_DATA_DIR: join(folder, 'local'), NIGHTSHIFT_STORE: 's3' };
    assert.equal(load(env, 'local').secrets.s3?.from, 'data folder');
    const aws = { ...env, AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 's' };
    assert.equal(load(aws).secrets.s3?.from, 'data folder');
    assert.equal(load({ ...aws, ...remote }).secrets.s3?.from, 'AWS');
  });
});

describe('nightshift config', () => {
  const main = new URL('../../src/main.ts', import.meta.url).pathname;
  const run = (env: Record<string, string>, ...args: string[]) =>
    spawnSync(process.execPath, [main, 'config', ...args], { cwd: folder, encoding: 'utf8', env: bareEnvironment(env) });

  it('prints the configuration of both processes without secrets, and warnings beside it', () => {
    const ended = run({
      ...S3,
      NIGHTSHIFT_API_KEYS: 'sk-hidden=t',
      NIGHTSHIFT_UPSTREAM_API_KEY: 'sk-upstream',
      NIGHTSHIFT_S3_PREFIX: 'team',
    });
    assert.equal(ended.status, 0, ended.stderr);
    const shown = JSON.parse(ended.stdout);
    assert.equal(shown.store.prefix, 'team/');
    assert.equal(shown.upstreams[0].name, 'default');
    assert.doesNotMatch(ended.stdout + ended.stderr, /sk-|secret-of-the-store/);
    assert.match(ended.stderr, /Warning: .*can be guessed/);
  });

  it('names the faults of both processes once each and ends with exit code 2', () => {
    const ended = run({ NIGHTSHIFT_API_HOST: '0.0.0.0', NIGHTSHIFT_UPSTREAMS_FILE: '/no/such/file', NIGHTSHIFT_API_PROT: '1' });
    assert.equal(ended.status, 2);
    for (const name of ['NIGHTSHIFT_API_HOST', 'NIGHTSHIFT_UPSTREAMS_FILE', 'NIGHTSHIFT_API_PROT'])
      assert.equal(ended.stderr.split('\n').filter((line) => line.includes(name)).length, 1, name);
  });

  it('writes no keys for the local store', () => {
    const data = join(folder, 'untouched');
    mkdirSync(data);
    assert.equal(run({ NIGHTSHIFT_DATA_DIR: data }, 'local').status, 0);
    assert.equal(existsSync(join(data, 'keys.json')), false);
  });

  it('refuses an unknown role', () => assert.equal(run(S3, 'apy').status, 2));
});

describe('nightshift tenants', () => {
  const main = new URL('../../src/main.ts', import.meta.url).pathname;
  const run = (args: string[], input = '') => spawnSync(process.execPath, [main, 'tenants', ...args], { encoding: 'utf8', input });

  it('hashes a key of an argument or of stdin', () => {
    const hash = createHash('sha256').update(KEY).digest('hex');
    assert.equal(run(['hash', KEY]).stdout, `${hash}\n`);
    assert.equal(run(['hash'], `${KEY}\n`).stdout, `${hash}\n`);
    assert.equal(run(['hash', 'two words']).status, 2);
  });

  it('makes a random key with its hash', () => {
    const [, key = '', hash] = /key +(\S+)\nsha256 +(\S+)/.exec(run(['new-key']).stdout) ?? [];
    assert.ok(key.length >= 32);
    assert.equal(hash, createHash('sha256').update(key).digest('hex'));
    assert.notEqual(run(['new-key']).stdout, run(['new-key']).stdout);
  });
});

describe('NIGHTSHIFT_WORKER_ROLES', () => {
  const rolesOf = (roles: string) => load({ ...S3, NIGHTSHIFT_WORKER_ROLES: roles }).worker.roles;

  it('is all roles by default, and takes some of them in any order', () => {
    assert.deepEqual(rolesOf(''), ['workflows', 'control', 'requests']);
    assert.deepEqual(rolesOf('requests'), ['requests']);
    assert.deepEqual(rolesOf(' requests , workflows,requests'), ['workflows', 'requests']);
  });

  it('refuses names that are no role, and says which there are', () => {
    for (const roles of ['api', 'workflows;control', 'Requests', ','])
      assert.deepEqual(faultsOf({ ...S3, NIGHTSHIFT_WORKER_ROLES: roles }), [
        `NIGHTSHIFT_WORKER_ROLES must be some of workflows, control, requests, separated by commas, not "${roles}"`,
      ]);
  });
});

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { bareEnvironment } from '../helpers/environment.ts';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig, printable } from '../../src/config/config.ts';
import { createLogger, prettyLine } from '../../src/telemetry/logger.ts';
import { createTenantSettings } from '../../src/config/tenant-settings.ts';
import { PREFIX, SECRET_FILES, settingsSchema } from '../../src/config/settings.ts';

const S3 = { NIGHTSHIFT_S3_ACCESS_KEY: 'access', NIGHTSHIFT_S3_SECRET_KEY: 'secret-of-the-store' };
let folder: string;

before(() => (folder = mkdtempSync(join(tmpdir(), 'nightshift-config-'))));
after(() => rmSync(folder, { recursive: true }));

function faultsOf(env: Record<string, string>, role: 'api' | 'worker' | 'local' = 'worker'): readonly string[] {
  try {
    loadConfig({ NIGHTSHIFT_DATA_DIR: folder, ...env }, role);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

function upstreamsFile(content: string): string {
  const path = join(folder, `${Math.random()}.yaml`);
  writeFileSync(path, content);
  return path;
}

describe('loadConfig', () => {
  it('takes the defaults for an environment that holds only the keys of the bucket', () => {
    const config = loadConfig(S3, 'worker');
    assert.equal(config.api.port, 7800);
    assert.equal(config.batches.linesPerActivity, null);
    assert.deepEqual(config.batches.completionWindows, ['24h']);
    assert.deepEqual(
      config.upstreams.map(({ name, baseUrls, models }) => ({ name, baseUrls, models })),
      [{ name: 'default', baseUrls: ['http://127.0.0.1:8900/v1'], models: null }],
    );
    assert.equal(config.local.exampleUpstreamWanted, true);
  });

  it('takes the tenants that are named for operators, or else the only one', () => {
    const operators = (env: NodeJS.ProcessEnv) => {
      const config = loadConfig({ ...S3, ...env }, 'api');
      const settingsOf = createTenantSettings(config.tenants.defaults, () => ({ settings: config.tenants.settings, keys: [] }));
      return ['default', 'acme', 'other', 'constructor'].filter((tenant) => settingsOf(tenant).isOperator);
    };
    const two = 'sk-acme-long-enough=acme,sk-other-long-enough=other';
    assert.deepEqual(operators({}), ['default']);
    assert.deepEqual(operators({ NIGHTSHIFT_API_KEYS: 'sk-acme-long-enough=acme,sk-acme-long-enough-2=acme' }), ['acme']);
    assert.deepEqual(operators({ NIGHTSHIFT_API_KEYS: two }), []);
    assert.deepEqual(operators({ NIGHTSHIFT_API_KEYS: two, NIGHTSHIFT_OPERATOR_TENANTS: 'other' }), ['other']);
  });

  it('reads weights and best priorities of tenants', () => {
    const config = loadConfig({ ...S3, NIGHTSHIFT_TENANT_WEIGHTS: 'acme=2.5', NIGHTSHIFT_TENANT_PRIORITIES: 'acme=1, other=5' }, 'api');
    const settingsOf = createTenantSettings(config.tenants.defaults, () => ({ settings: config.tenants.settings, keys: [] }));
    assert.deepEqual(
      ['acme', 'other', 'third', 'constructor', '__proto__'].map((tenant) => [settingsOf(tenant).weight, settingsOf(tenant).bestPriority]),
      [
        [2.5, 1],
        [1, 5],
        [1, 3],
        [1, 3],
        [1, 3],
      ],
    );
    for (const wrong of ['acme', 'acme=0', 'acme=6', 'acme=1.5', 'a b=1']) {
      const faults = faultsOf({ ...S3, NIGHTSHIFT_TENANT_PRIORITIES: wrong });
      assert.match(faults.join(), /NIGHTSHIFT_TENANT_PRIORITIES.*must be tenant=priority, separated by commas, priorities from 1 to 5/);
    }
  });

  it('names every fault at once, by the name of its variable', () => {
    const faults = faultsOf(
      {
        NIGHTSHIFT_API_PORT: '99999',
        NIGHTSHIFT_API_HOST: '0.0.0.0',
        NIGHTSHIFT_TEMPORAL_ADDRESS: 'temporal',
        NIGHTSHIFT_CANCEL_GRACE_SECONDS: '601',
        NIGHTSHIFT_COMPLETION_WINDOWS: '24h,soon',
        NIGHTSHIFT_LOG_FORMAT: 'xml',
        NIGHTSHIFT_S3_ACCESS_KEY: 'access',
        NIGHTSHIFT_UPSTREAM_URL: 'ftp://somewhere',
      },
      'local',
    );
    assert.deepEqual(faults.map((fault) => fault.split(' ')[0]).sort(), [
      'NIGHTSHIFT_API_HOST',
      'NIGHTSHIFT_API_PORT',
      'NIGHTSHIFT_CANCEL_GRACE_SECONDS',
      'NIGHTSHIFT_COMPLETION_WINDOWS',
      'NIGHTSHIFT_LOG_FORMAT',
      'NIGHTSHIFT_S3_SECRET_KEY',
      'NIGHTSHIFT_TEMPORAL_ADDRESS',
      'NIGHTSHIFT_UPSTREAM_URL',
    ]);
  });

  it('takes further endpoints below and beside /v1, and only paths', () => {
    const endpointsOf = (given: string) => loadConfig({ ...S3, NIGHTSHIFT_ENDPOINTS: given }, 'worker').batches.endpoints;
    assert.deepEqual(endpointsOf('/v1/rerank, /rerank,/v2/rerank'), ['/v1/rerank', '/rerank', '/v2/rerank']);
    for (const given of ['rerank', '/', '//elsewhere/rerank', '/rerank?a=1', '/re rank', 'http://h/rerank']) {
      assert.match(faultsOf({ ...S3, NIGHTSHIFT_ENDPOINTS: given }).join(), /NIGHTSHIFT_ENDPOINTS must be paths like/, given);
    }
  });

  it('refuses a base URL that goes on to an endpoint', () => {
    for (const url of ['http://h/v1/chat/completions', 'http://h/openai/deployments/d/embeddings/?api-version=x', 'http://h/responses']) {
      assert.match(faultsOf({ ...S3, NIGHTSHIFT_UPSTREAM_URL: url }).join(), /NIGHTSHIFT_UPSTREAM_URL must end before the endpoint/, url);
      const path = upstreamsFile(JSON.stringify([{ name: 'gpu', base_urls: [url] }]));
      assert.match(faultsOf({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: path }).join(), /gpu: base_urls\.0 must end before the endpoint/, url);
    }
  });

  it('says what is wrong and what was given', () => {
    assert.deepEqual(faultsOf({ ...S3, NIGHTSHIFT_API_PORT: 'http' }), [
      'NIGHTSHIFT_API_PORT must be a whole number from 0 to 65535, not "http"',
    ]);
  });

  it('takes an empty value for none', () => {
    assert.equal(loadConfig({ ...S3, NIGHTSHIFT_API_PORT: '', NIGHTSHIFT_LINES_PER_ACTIVITY: '' }, 'worker').api.port, 7800);
  });

  it('refuses keys and secrets that everybody knows on an interface that others can reach', () => {
    const own = { ...S3, NIGHTSHIFT_API_KEYS: 'sk-mine=t' };
    const known = [{ NIGHTSHIFT_API_KEYS: 'sk-mine=t,local-key=default' }, { NIGHTSHIFT_S3_SECRET_KEY: 'nightshift-local' }];
    for (const host of ['0.0.0.0', '::', '192.168.1.5']) {
      assert.deepEqual(faultsOf({ ...own, NIGHTSHIFT_API_HOST: host }, 'api'), []);
      for (const secret of known) {
        const env = { ...own, ...secret, NIGHTSHIFT_API_HOST: host };
        assert.match(faultsOf(env, 'api').join(), /everybody knows.*NIGHTSHIFT_PUBLISHED_ON_LOOPBACK/);
        assert.deepEqual(faultsOf({ ...env, NIGHTSHIFT_PUBLISHED_ON_LOOPBACK: 'true' }, 'api'), []);
        assert.deepEqual(faultsOf(env, 'worker'), []);
      }
    }
    for (const secret of known) assert.deepEqual(faultsOf({ ...own, ...secret }, 'api'), []);
  });

  it('checks the names that clients use where no key keeps a web page out', () => {
    const allowed = (env: Record<string, string>) =>
      loadConfig({ ...S3, NIGHTSHIFT_ALLOWED_HOSTS: 'batch.lan', ...env }, 'api').api.allowedHosts;
    assert.deepEqual(allowed({}), ['batch.lan']);
    assert.deepEqual(allowed({ NIGHTSHIFT_API_KEYS: 'local-key=default' }), ['batch.lan']);
    assert.equal(allowed({ NIGHTSHIFT_API_KEYS: 'sk-mine=default' }), null);
    for (const origins of ['tools.example', 'https://tools.example/', 'https://a b']) {
      assert.match(faultsOf({ ...S3, NIGHTSHIFT_CORS_ORIGINS: origins }, 'api').join(), /NIGHTSHIFT_CORS_ORIGINS/);
    }
  });

  it('refuses tenants whose names differ in case only', () => {
    assert.match(faultsOf({ ...S3, NIGHTSHIFT_API_KEYS: 'a=Team,b=team,c=other' }, 'api').join(), /"Team" and "team"/);
    assert.deepEqual(faultsOf({ ...S3, NIGHTSHIFT_API_KEYS: 'a=team,b=team' }, 'api'), []);
  });

  it('refuses to listen beyond loopback without keys, and does with keys', () => {
    assert.match(faultsOf({ ...S3, NIGHTSHIFT_API_HOST: '0.0.0.0' }, 'api').join(), /NIGHTSHIFT_API_KEYS/);
    assert.deepEqual(faultsOf({ ...S3, NIGHTSHIFT_API_HOST: '0.0.0.0', NIGHTSHIFT_API_KEYS: 'k=t' }, 'api'), []);
    assert.deepEqual(faultsOf({ ...S3, NIGHTSHIFT_API_HOST: '::1' }, 'api'), []);
  });

  it('reads keys given plain and as hashes', () => {
    const hash = createHash('sha256').update('other').digest('hex');
    const { secrets } = loadConfig({ ...S3, NIGHTSHIFT_API_KEYS: `sk-a=b==team_a, sha256:${hash}=team-b` }, 'api');
    assert.deepEqual(secrets.apiKeys, [
      { sha256Hex: createHash('sha256').update('sk-a=b=').digest('hex'), tenant: 'team_a', expiresAtMs: null },
      { sha256Hex: hash, tenant: 'team-b', expiresAtMs: null },
    ]);
  });

  it('refuses malformed and repeated keys without showing them', () => {
    const faults = faultsOf({ ...S3, NIGHTSHIFT_API_KEYS: 'sk-hidden,sha256:12=t,k=a,k=b,k2=../x' }, 'api');
    assert.equal(faults.length, 4);
    assert.doesNotMatch(faults.join(), /sk-hidden/);
  });

  it('freezes the configuration, down to its leaves', () => {
    const config = loadConfig(S3, 'api');
    assert.throws(() => (config.batches.limits.maxLineBytes = 1), TypeError);
  });

  it('shows no secret in what is printed at boot', () => {
    const config = loadConfig(
      { ...S3, NIGHTSHIFT_API_KEYS: 'sk-client=t', NIGHTSHIFT_UPSTREAM_API_KEY: 'sk-upstream', NIGHTSHIFT_TEMPORAL_API_KEY: 'sk-temporal' },
      'worker',
    );
    const shown = JSON.stringify(printable(config));
    assert.doesNotMatch(shown, /sk-|secret-of-the-store/);
    assert.match(shown, /127\.0\.0\.1:7233/);
    assert.equal(config.secrets.upstreams['default']?.apiKey, 'sk-upstream');
  });

  it('shows no user, password or query of a URL, neither at boot nor as a fault', () => {
    const env = {
      ...S3,
      NIGHTSHIFT_UPSTREAM_URL: 'https://user:hunter2@host/v1?api-key=hunter2',
    };
    const shown = JSON.stringify(printable(loadConfig(env, 'worker')));
    assert.doesNotMatch(shown, /hunter2/);
    assert.match(shown, /https:\/\/\*\*\*@host\/v1/);
    for (const url of ['htps://user:hunter2@host/v1', 'user:hunter2@host', 'http://user:hunter2%@host/', '//host?key=hunter2']) {
      const faults = faultsOf({ ...S3, NIGHTSHIFT_UPSTREAM_URL: url }).join();
      assert.match(faults, /NIGHTSHIFT_UPSTREAM_URL must be an http\(s\) URL/);
      assert.doesNotMatch(faults, /hunter2/);
    }
  });

  it('takes a key without the line end of the file it comes from, and refuses one that no header can carry', () => {
    const key = (given: string) => loadConfig({ ...S3, NIGHTSHIFT_UPSTREAM_API_KEY: given }, 'worker').secrets.upstreams['default']?.apiKey;
    assert.equal(key('sk-one\r\n'), 'sk-one');
    for (const given of ['sk-ключ', 'sk one', 'sk-\u0007']) {
      const faults = faultsOf({ ...S3, NIGHTSHIFT_UPSTREAM_API_KEY: given }).join();
      assert.match(faults, /NIGHTSHIFT_UPSTREAM_API_KEY must be printable ASCII/);
      assert.doesNotMatch(faults, /sk/);
    }
  });

  it('makes keys for the local MinIO once, which API and worker then find', () => {
    const env = { NIGHTSHIFT_DATA_DIR: join(folder, 'data'), NIGHTSHIFT_STORE: 's3' };
    assert.match(faultsOf(env, 'api').join(), /NIGHTSHIFT_S3_ACCESS_KEY/);
    const made = loadConfig(env, 'local').secrets.s3;
    assert.deepEqual(loadConfig(env, 'local').secrets.s3, made);
    assert.deepEqual(loadConfig(env, 'worker').secrets.s3, made);
  });
});

describe('NIGHTSHIFT_UPSTREAMS_FILE', () => {
  it('names several upstreams, with keys from the environment', () => {
    const path = upstreamsFile(`
- name: gpu
  base_urls: [http://10.0.0.5:8000/v1]
  models: [llama]
- name: cloud
  base_urls: [https://api.example.com/v1]
  api_key_env: CLOUD_KEY
  headers: { x-team: nights }
  unavailable_max_seconds: 60
  limiter: fixed
  requests_per_minute: 600
  tokens_per_minute: 90000
`);
    const config = loadConfig({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: path, CLOUD_KEY: 'sk-cloud' }, 'worker');
    assert.deepEqual(
      config.upstreams.map(({ name, models, maxInFlight, unavailableMaxMs }) => [name, models, maxInFlight, unavailableMaxMs]),
      [
        ['gpu', ['llama'], 1024, null],
        ['cloud', null, 1024, 60_000],
      ],
    );
    assert.deepEqual(
      config.upstreams.map(({ limiter, requestsPerMinute, tokensPerMinute }) => [limiter, requestsPerMinute, tokensPerMinute]),
      [
        ['adaptive', null, null],
        ['fixed', 600, 90_000],
      ],
    );
    assert.deepEqual(config.secrets.upstreams['cloud'], {
      apiKey: 'sk-cloud',
      headers: { 'x-team': 'nights' },
      ways: { 'https://api.example.com/v1': { proxy: null, tls: null } },
    });
    assert.equal(config.local.exampleUpstreamWanted, false);
  });

  it('names every fault of the file', () => {
    const path = upstreamsFile(`
- { name: gpu, base_urls: [nowhere], max_inflight: 3 }
- { name: Bad Name, base_urls: [] }
`);
    const faults = faultsOf({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: path }).join('\n');
    for (const expected of [/gpu: base_urls\.0/, /max_inflight/, /Bad Name: name/, /Bad Name: base_urls/]) assert.match(faults, expected);
  });

  it('reads aliases beside the models, or as a map of models, and members to add', () => {
    const path = upstreamsFile(`
- { name: a, base_urls: [http://x/v1], models: [llama], aliases: { gpt-4o: llama } }
- { name: b, base_urls: [http://x/v1], models: { gpt-4o-mini: Qwen/Qwen3-8B }, add: { priority: 5, stop: [x], deep: { a: null } } }
- { name: c, base_urls: [http://x/v1], aliases: { "claude-*": llama } }
`);
    const { upstreams } = loadConfig({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: path }, 'worker');
    assert.deepEqual(
      upstreams.map(({ models, aliases, add }) => [models, aliases, add]),
      [
        [['llama', 'gpt-4o'], { 'gpt-4o': 'llama' }, {}],
        [['gpt-4o-mini'], { 'gpt-4o-mini': 'Qwen/Qwen3-8B' }, { priority: 5, stop: ['x'], deep: { a: null } }],
        [null, { 'claude-*': 'llama' }, {}],
      ],
    );
  });

  it('reads the hours in which an upstream is used, and its limits by hour', () => {
    const path = upstreamsFile(`
- { name: a, base_urls: [http://x/v1], active: "19:00-07:00 Europe/Berlin" }
- { name: b, base_urls: [http://x/v1], active: ["mon-fri 19:00-07:00", "sat,sun 00:00-24:00"], max_in_flight_by_hour: { "08:00-18:00": 8 } }
`);
    const { upstreams } = loadConfig({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: path }, 'worker');
    assert.deepEqual(
      upstreams.map(({ active, maxInFlightByHour }) => [active, maxInFlightByHour]),
      [
        [['19:00-07:00 Europe/Berlin'], {}],
        [['mon-fri 19:00-07:00', 'sat,sun 00:00-24:00'], { '08:00-18:00': 8 }],
      ],
    );
    const wrong = upstreamsFile(`
- { name: a, base_urls: [http://x/v1], active: "at night" }
- { name: b, base_urls: [http://x/v1], active: ["19:00-07:00 Europe/Berln", "mo 08:00-18:00"] }
- { name: c, base_urls: [http://x/v1], active: 19 }
- { name: d, base_urls: [http://x/v1], max_in_flight_by_hour: { "08:00-25:00": 8 } }
- { name: e, base_urls: [http://x/v1], max_in_flight_by_hour: { "08:00-18:00": 0 } }
`);
    const faults = faultsOf({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: wrong }).join('\n');
    for (const expected of [
      /a: active\.0 must be hours like "mon-fri 19:00-07:00 Europe\/Berlin"/,
      /b: active\.0 has the unknown time zone "Europe\/Berln": did you mean Europe\/Berlin\?/,
      /b: active\.1 has the days "mo"/,
      /c: active must be hours, or a list of hours/,
      /d: max_in_flight_by_hour\.08:00-25:00 has the time 25:00/,
      /e: max_in_flight_by_hour\.08:00-18:00 /,
    ])
      assert.match(faults, expected);
  });

  it('refuses aliases for patterns, and members that make answers no batch can read', () => {
    const path = upstreamsFile(`
- { name: a, base_urls: [http://x/v1], aliases: { gpt-4o: "llama-*" } }
- { name: b, base_urls: [http://x/v1], add: { stream: true } }
- { name: c, base_urls: [http://x/v1], add: { "no name": 1 } }
- { name: d, base_urls: [http://x/v1], add: { x: .nan } }
- { name: e, base_urls: [http://x/v1], models: llama }
`);
    const faults = faultsOf({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: path }).join('\n');
    for (const expected of [
      /a: aliases\.gpt-4o must be the name of one model, without \*/,
      /b: add must not have stream/,
      /c: add\.no name must be the name of a member/,
      /d: add\.x /,
      /e: models must be a list of names, or names with what the upstream calls them/,
    ])
      assert.match(faults, expected);
  });

  it('refuses keys and headers that cannot be sent, without showing them', () => {
    const path = upstreamsFile(`
- { name: a, base_urls: ["http://x/v1"], api_key: "sk-hid\\nden" }
- { name: b, base_urls: ["http://x/v1"], headers: { x-team: "sk-hid\\nden", Content-Length: "3" } }
- { name: c, base_urls: ["http://x:sk-hidden%@x/v1"] }
`);
    const faults = faultsOf({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: path }).join('\n');
    for (const expected of [
      /a: api_key must be printable/,
      /b: headers\.x-team must be Latin-1/,
      /Content-Length belongs/,
      /c: base_urls\.0/,
    ])
      assert.match(faults, expected);
    assert.doesNotMatch(faults, /sk-hid/);
    const named = upstreamsFile('[{ name: a, base_urls: ["http://x/v1"], api_key_env: KEY }]');
    assert.match(faultsOf({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: named, KEY: 'sk hidden' }).join(), /from KEY, which must be printable/);
    const { secrets } = loadConfig({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: named, KEY: 'sk-cloud\n' }, 'worker');
    assert.equal(secrets.upstreams['a']?.apiKey, 'sk-cloud');
  });

  it('names missing key variables, repeated names and variables without effect', () => {
    const path = upstreamsFile('[{name: a, base_urls: ["http://x/v1"], api_key_env: NO_SUCH_KEY}, {name: a, base_urls: ["http://y/v1"]}]');
    const faults = faultsOf({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: path, NIGHTSHIFT_UPSTREAM_URL: 'http://z/v1' }).join('\n');
    for (const expected of [/NO_SUCH_KEY/, /two upstreams are named a/, /NIGHTSHIFT_UPSTREAM_URL has no effect/])
      assert.match(faults, expected);
  });

  it('says when the file is missing', () => {
    assert.match(faultsOf({ ...S3, NIGHTSHIFT_UPSTREAMS_FILE: '/no/such/file' }).join(), /NIGHTSHIFT_UPSTREAMS_FILE.*cannot be read/);
  });
});

describe('docs/configuration.md and .env.example', () => {
  const property = z.object({ default: z.string().optional(), minimum: z.number().optional(), maximum: z.number().optional() });
  const schema = z.object({ properties: z.record(z.string(), property) }).parse(z.toJSONSchema(settingsSchema, { io: 'input' }));
  const expected = Object.entries(schema.properties)
    .map(([name, { default: value }]) => `${PREFIX}${name}=${value ?? ''}`)
    .sort();
  const found = (path: string, pattern: RegExp) =>
    [...readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8').matchAll(pattern)]
      .map(([, name, value]) => `${name}=${value ?? ''}`)
      .sort();

  it('the page lists every variable with its default, and no other', () => {
    assert.deepEqual(found('docs/configuration.md', /^\| `(NIGHTSHIFT_\w+)` \| (?:`([^`]*)`)?/gm), expected);
  });

  it('the page shows the bounds of every number, and of nothing else', () => {
    const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
    const shown = [...page.matchAll(/^\| `(NIGHTSHIFT_\w+)` \| (?:`[^`]*`)? ?\| (?:([\d,]+) to ([\d,]+) \|)?/gm)];
    const bounds = (least: unknown, most: unknown) => (least === undefined ? '' : `${String(least)} to ${String(most)}`);
    assert.deepEqual(
      Object.fromEntries(shown.map(([, name = '', least, most]) => [name, bounds(least?.replaceAll(',', ''), most?.replaceAll(',', ''))])),
      Object.fromEntries(
        Object.entries(schema.properties).map(([name, { minimum, maximum }]) => [PREFIX + name, bounds(minimum, maximum)]),
      ),
    );
  });

  it('the page names the file variable of every secret', () => {
    const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
    for (const name of SECRET_FILES) assert.ok(page.includes(`\`${PREFIX}${name}\``), name);
  });

  it('the example file lists every variable with its default, and no other', () => {
    assert.deepEqual(found('.env.example', /^# (NIGHTSHIFT_\w+)=(.*)$/gm), expected);
  });
});

describe('nightshift api, wrongly configured', () => {
  const main = new URL('../../src/main.ts', import.meta.url).pathname;

  it('names every fault and ends with exit code 2', () => {
    const ended = spawnSync(process.execPath, [main, 'api'], {
      cwd: folder,
      encoding: 'utf8',
      env: bareEnvironment({ NIGHTSHIFT_API_PORT: 'x', NIGHTSHIFT_LOG_LEVEL: 'loud' }),
    });
    assert.equal(ended.status, 2);
    for (const name of ['NIGHTSHIFT_API_PORT', 'NIGHTSHIFT_LOG_LEVEL', 'NIGHTSHIFT_S3_ACCESS_KEY'])
      assert.match(ended.stderr, new RegExp(name));
  });

  it('reads the .env file of the working folder below the environment', () => {
    const cwd = mkdtempSync(join(folder, 'env-'));
    writeFileSync(join(cwd, '.env'), 'NIGHTSHIFT_API_PORT=from-file\nNIGHTSHIFT_LOG_LEVEL=loud\n');
    const ended = spawnSync(process.execPath, [main, 'api'], {
      cwd,
      encoding: 'utf8',
      env: bareEnvironment({ NIGHTSHIFT_LOG_LEVEL: 'louder' }),
    });
    assert.match(ended.stderr, /from-file/);
    assert.match(ended.stderr, /louder/);
  });

  it('shows its commands', () => {
    assert.match(execFileSync(process.execPath, [main, '--help'], { encoding: 'utf8' }), /submit[\s\S]*download/);
  });
});

describe('createLogger', () => {
  it('has a compact line for people', () => {
    assert.equal(
      prettyLine('{"level":"warn","time":"2026-11-23T12:00:01.000Z","process":"api","port":1,"msg":"hello"}'),
      '12:00:01 warn  api    hello port=1',
    );
    assert.doesNotThrow(() => createLogger({ level: 'error', format: 'pretty' }, 'test').debug('unseen'));
  });
});

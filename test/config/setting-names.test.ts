import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { unknownSettings, withoutServiceLinks } from '../../src/config/setting-names.ts';

describe('unknownSettings', () => {
  it('names a misspelt setting and the one that was meant', () => {
    const meant = {
      NIGHTSHIFT_API_PROT: 'NIGHTSHIFT_API_PORT',
      NIGHTSHIFT_TENANT_MAX_OPEN_BATCH: 'NIGHTSHIFT_TENANT_MAX_OPEN_BATCHES',
      NIGHTSHIFT_S3_SECRETKEY: 'NIGHTSHIFT_S3_SECRET_KEY',
      NIGHTSHIFT_UPSTREAM_API_KEY_FIEL: 'NIGHTSHIFT_UPSTREAM_API_KEY_FILE',
      NIGHTSHIFT_COMPLETION_WINDOW: 'NIGHTSHIFT_COMPLETION_WINDOWS',
    };
    for (const [name, setting] of Object.entries(meant))
      assert.deepEqual(unknownSettings({ [name]: '1' }), [`Unknown setting ${name}. Did you mean ${setting}?`]);
  });

  it('suggests nothing for a name that is near no setting', () => {
    assert.deepEqual(unknownSettings({ NIGHTSHIFT_QQQQQQ: '1' }), [
      'Unknown setting NIGHTSHIFT_QQQQQQ. See docs/configuration.md for all settings.',
    ]);
  });

  it('knows every variable of docker-compose.yml', () => {
    const compose = readFileSync(new URL('../../docker-compose.yml', import.meta.url), 'utf8');
    const names = new Set([...compose.matchAll(/NIGHTSHIFT_[A-Z0-9_]+/g)].map(([name]) => name));
    assert.ok(names.size > 10);
    assert.deepEqual(unknownSettings(Object.fromEntries([...names].map((name) => [name, '1']))), []);
  });

  it('ignores empty values, other prefixes and settings', () => {
    assert.deepEqual(
      unknownSettings({ NIGHTSHIFT_API_PROT: '', PATH: '/bin', NIGHTSHIFT_API_PORT: '1', NIGHTSHIFT_S3_SECRET_KEY_FILE: 'f' }),
      [],
    );
  });

  it('ignores what Kubernetes adds for Services named nightshift and nightshift-api', () => {
    const links = {
      NIGHTSHIFT_SERVICE_HOST: '10.0.0.7',
      NIGHTSHIFT_SERVICE_PORT: '7800',
      NIGHTSHIFT_PORT: 'tcp://10.0.0.7:7800',
      NIGHTSHIFT_API_SERVICE_HOST: '10.0.0.7',
      NIGHTSHIFT_API_SERVICE_PORT_HTTP: '7800',
      NIGHTSHIFT_API_PORT: 'tcp://10.0.0.7:7800',
      NIGHTSHIFT_API_PORT_7800_TCP: 'tcp://10.0.0.7:7800',
      NIGHTSHIFT_API_PORT_7800_TCP_PROTO: 'tcp',
      NIGHTSHIFT_API_PORT_7800_TCP_ADDR: '10.0.0.7',
    };
    assert.deepEqual(unknownSettings(links), []);
    assert.deepEqual(withoutServiceLinks({ ...links, NIGHTSHIFT_METRICS_PORT: '7801', PORT: 'tcp://x' }), {
      NIGHTSHIFT_METRICS_PORT: '7801',
      PORT: 'tcp://x',
    });
  });
});

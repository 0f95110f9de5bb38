import assert from 'node:assert/strict';
import { promisify } from 'node:util';
import { describe, it } from 'node:test';
import { isPrivateAddress, PrivateTarget, publicLookup, targetFault } from '../../src/webhooks/target.ts';

describe('targetFault()', () => {
  it('takes public HTTPS URLs', () => {
    for (const url of [
      'https://example.com/hooks?a=b',
      'https://hooks.example.com:8443/',
      'https://93.184.216.34/',
      'https://[2606:4700::1]/',
    ])
      assert.equal(targetFault(url, { allowPrivate: false }), null, url);
  });

  it('refuses this machine, private networks and metadata services, however they are written', () => {
    for (const url of [
      'https://127.0.0.1/',
      'https://127.1/',
      'https://2130706433/',
      'https://0x7f.0.0.1/',
      'https://localhost/',
      'https://LOCALHOST./',
      'https://api.localhost/',
      'https://minio/',
      'https://db.internal/',
      'https://169.254.169.254/latest/meta-data/',
      'https://metadata.google.internal/',
      'https://10.1.2.3/',
      'https://172.31.0.1/',
      'https://192.168.1.1/',
      'https://100.64.0.1/',
      'https://0.0.0.0/',
      'https://255.255.255.255/',
      'https://[::1]/',
      'https://[::]/',
      'https://[::ffff:127.0.0.1]/',
      'https://[::ffff:a9fe:a9fe]/',
      'https://[64:ff9b::7f00:1]/',
      'https://[fd00:ec2::254]/',
      'https://[fe80::1]/',
      'https://[2002:7f00:1::]/',
    ])
      assert.match(targetFault(url, { allowPrivate: false }) ?? '', /^expected a public host/, url);
  });

  it('refuses plain HTTP, credentials and what is no URL', () => {
    assert.match(targetFault('http://example.com/', { allowPrivate: false }) ?? '', /https:/);
    assert.match(targetFault('https://me:secret@example.com/', { allowPrivate: false }) ?? '', /without user/);
    for (const url of ['', 'example.com', 'ftp://example.com/', 'file:///etc/passwd'])
      assert.match(targetFault(url, { allowPrivate: true }) ?? '', /a URL like/);
  });

  it('lets everything through that the operator opens', () => {
    for (const url of ['http://127.0.0.1:9999/', 'http://minio/', 'https://10.0.0.1/'])
      assert.equal(targetFault(url, { allowPrivate: true }), null);
  });
});

describe('publicLookup', () => {
  it('fails for a name with a private address, so that a public name cannot lead inside', async () => {
    const lookup = promisify(publicLookup);
    await assert.rejects(lookup('localhost', { all: true }), PrivateTarget);
    await assert.rejects(lookup('localhost', {}), /localhost is (127\.0\.0\.1|::1), an address of a private network/);
  });
});

describe('isPrivateAddress()', () => {
  it('takes what is no address for private', () => assert.ok(isPrivateAddress('nonsense')));
});

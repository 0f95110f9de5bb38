import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TEMPORAL_FILE_FLAGS, TEMPORAL_FLAGS } from '../../src/processes/local/temporal-flags.ts';
import { composeServices } from './compose-file.ts';

const services = await composeServices();

describe('docker-compose.yml', () => {
  it('starts Temporal with the flags of `nightshift local`', () => {
    const command = services['temporal']?.command ?? [];
    const addresses = [
      'server',
      'start-dev',
      '--ip=0.0.0.0',
      '--ui-ip=0.0.0.0',
      '--db-filename=/home/temporal/temporal.db',
      '--log-level=warn',
    ];
    assert.deepEqual(command.filter((flag) => !addresses.includes(flag)).sort(), [...TEMPORAL_FILE_FLAGS, ...TEMPORAL_FLAGS].sort());
  });
});

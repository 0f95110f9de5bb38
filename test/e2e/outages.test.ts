import { describe, it } from 'node:test';
import { assertPassed, OUTAGES, passOutages } from './outages.ts';

const LINES = 400;

describe('a server that fails for everybody for 12 seconds', () => {
  it(
    `loses no line (${OUTAGES.map(({ name }) => name).join(', ')}), is not flooded, and the reason shows`,
    { timeout: 300_000 },
    async (t) => {
      for (const passed of await passOutages({ lines: LINES, seconds: 12 })) {
        t.diagnostic(`${passed.outage.name}: ${passed.callsDuring} calls, ${passed.heartbeat}`);
        assertPassed(passed, LINES);
      }
    },
  );
});

import { describe, it } from 'node:test';
import { assertPassed, passOutages } from './outages.ts';

const LINES = 2_000;

describe('a server that fails for everybody for a minute', () => {
  it('loses none of 2,000 lines, gets less than 200 calls, and the reason shows', { timeout: 600_000 }, async (t) => {
    for (const passed of await passOutages({ lines: LINES, seconds: 60 })) {
      t.diagnostic(`${passed.outage.name}: ${passed.callsDuring} calls, ${passed.heartbeat}`);
      assertPassed(passed, LINES);
    }
  });
});

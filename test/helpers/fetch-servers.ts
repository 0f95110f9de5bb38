/** Before the tests: fetches the servers they need, where nobody has yet, and shows that it takes its time. */
import { SERVER_BINARIES, serverBinary } from '../../src/processes/local/server-binaries.ts';
import { printedSteps } from '../../src/processes/local/steps.ts';
import { helmBinary } from './helm.ts';

const steps = printedSteps(process.stdout);
for (const name of Object.keys(SERVER_BINARIES)) {
  if (name === 'temporal' || name === 'temporal-test-server' || name === 'minio') await serverBinary(name, steps);
}
await helmBinary(steps);

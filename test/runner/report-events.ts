import { appendFileSync, readFileSync } from 'node:fs';
import type { TestEvent } from 'node:test/reporters';

/** Where the events go: one JSON object per line. */
const PATH = process.env['TEST_EVENTS_FILE'] ?? '/dev/null';

/** The outcome of one test, or the CPU time of a finished test process and its children. */
export type RunEvent = { outcome: 'passed' | 'failed' | 'skipped'; name: string } | { cpuSeconds: number };

function record(event: RunEvent): void {
  appendFileSync(PATH, `${JSON.stringify(event)}\n`);
}

process.on('exit', () => record({ cpuSeconds: cpuSeconds() }));

/** CPU time of this process and of all children it has waited for. */
function cpuSeconds(): number {
  try {
    const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? [];
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  }
}

/** A reporter for node:test that records each test for the runner and prints nothing. */
export default async function* reportEvents(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if ((type !== 'test:pass' && type !== 'test:fail') || data.details.type === 'suite') continue;
    const isSkipped = data.skip !== undefined || data.todo !== undefined;
    record({ outcome: type === 'test:fail' ? 'failed' : isSkipped ? 'skipped' : 'passed', name: data.name });
  }
  yield '';
}

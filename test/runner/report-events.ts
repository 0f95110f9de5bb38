import { appendFileSync } from 'node:fs';
import type { TestEvent } from 'node:test/reporters';
import { cpuSeconds } from './cpu-seconds.ts';

/** Where the events go: one JSON object per line. */
const PATH = process.env['TEST_EVENTS_FILE'] ?? '/dev/null';

/** The outcome of one test, or the CPU time of a finished test process and its children. */
export type RunEvent = TestOutcome | { cpuSeconds: number };

/** How a test ended; `file` is the path of the file that holds it. */
export interface TestOutcome {
  outcome: 'passed' | 'failed' | 'skipped';
  name: string;
  file: string;
}

function record(event: RunEvent): void {
  appendFileSync(PATH, `${JSON.stringify(event)}\n`);
}

process.on('exit', () => record({ cpuSeconds: cpuSeconds() }));

/** A reporter for node:test that records each test for the runner and prints nothing. */
export default async function* reportEvents(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if ((type !== 'test:pass' && type !== 'test:fail') || data.details.type === 'suite') continue;
    const isSkipped = data.skip !== undefined || data.todo !== undefined;
    record({ outcome: type === 'test:fail' ? 'failed' : isSkipped ? 'skipped' : 'passed', name: data.name, file: data.file ?? '' });
  }
  yield '';
}

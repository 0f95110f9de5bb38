/**
 * The adaptive limiter in simulated time: the real sending loop, intake, gate and limiter against servers that behave like a vLLM,
 * a hosted API and a server that fails. Always the same result. `npm run bench:limiter` writes bench/limiter.md and .svg.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { setImmediate as immediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { numbers } from '../examples/upstream/behaviour.ts';
import { createGate } from '../src/upstream/gate.ts';
import { createIntake, type TakenSlice } from '../src/upstream/intake.ts';
import type { Limiter } from '../src/upstream/limiter.ts';
import { sendUntilDone } from '../src/upstream/send-request.ts';
import { createUpstreamLimiter } from '../src/upstream/upstream-limiter.ts';
import { plot } from './limiter/plot.ts';
import { scenarios, type Scenario } from './limiter/scenarios.ts';
import { installSimulatedTime } from './limiter/simulated-time.ts';

const SAMPLES = 400;
const time = installSimulatedTime(numbers(7));

interface Row {
  scenario: string;
  limiter: string;
  'share of the ideal': string;
  refused: string;
  'mean limit': number;
  'longest queue': number;
  faults: number;
}

const rows: Row[] = [];
const curves = [];
const filter = process.argv[2] ?? '';
for (const scenario of scenarios) {
  if (!scenario.name.includes(filter)) continue;
  const adaptive = await run(
    scenario,
    createUpstreamLimiter({ limiter: 'adaptive', maxInFlight: scenario.maxInFlight, maxWaitMs: 60_000 }),
    'adaptive',
  );
  rows.push(adaptive.row);
  rows.push(
    (
      await run(
        scenario,
        createUpstreamLimiter({ limiter: 'fixed', maxInFlight: scenario.maxInFlight, maxWaitMs: 60_000 }),
        `fixed ${scenario.maxInFlight}`,
      )
    ).row,
  );
  curves.push({ title: scenario.name, minutes: scenario.minutes, best: scenario.bestInFlight, curve: adaptive.curve });
}
if (filter !== '')
  for (const { curve } of curves)
    console.log(
      curve
        .filter((_, at) => at % 8 === 0)
        .map(({ minute, limit, queued }) => `${minute.toFixed(0)}:${limit}/${queued}`)
        .join(' '),
    );
console.table(rows);
if (filter === '') {
  writeFileSync(fileURLToPath(new URL('limiter.svg', import.meta.url)), plot(curves));
  writeFileSync(fileURLToPath(new URL('limiter.md', import.meta.url)), page());
}

async function run(
  scenario: Scenario,
  limiter: Limiter,
  name: string,
): Promise<{ row: Row; curve: { minute: number; limit: number; queued: number }[] }> {
  const startMs = time.nowMs;
  const server = scenario.server(time, startMs, numbers(scenario.seed));
  const ending = new AbortController();
  const upstream = {
    name: 'simulated',
    client: { send: async () => await server.send(ending.signal), close: async () => undefined },
    limiter,
    intake: createIntake({
      limit: () => limiter.limit,
      isRefusing: () => limiter.refusing.isMost,
      maxSlices: 2000,
      monotonicMs: () => time.nowMs,
    }),
    requestsPerMinute: null,
    gate: createGate({ refusedInARow: () => limiter.refusing.inARow, monotonicMs: () => time.nowMs }),
    rules: { maxFaults: 1_000, maxRefusals: 1_000, maxRetryAfterMs: 60_000, refusalBackoffMs: 1_000, unavailableMaxMs: null },
    redact: (body: Buffer) => body,
    rewrite: (body: Uint8Array) => body,
  };
  let [next, faults] = [0, 0];
  /** As `runSlice` does with a slice of one. */
  async function send(taken: TakenSlice): Promise<void> {
    const requestKey = String(next++);
    let sent = 0;
    let stepBack = (): void => undefined;
    for (;;) {
      const result = await sendUntilDone({
        upstream,
        batchId: `batch ${Number(requestKey) % 3}`,
        rank: taken.ordinal,
        requestKey,
        request: { endpoint: '/v1/chat/completions', body: Buffer.alloc(0), idempotencyKey: requestKey },
        signal: ending.signal,
        stopSending: ending.signal,
        faults: sent,
        onState({ state }) {
          stepBack();
          if (state === 'refused') stepBack = taken.stepAside();
        },
        isPaced: false,
      });
      if (result.kind !== 'fault') break;
      sent = result.faults;
      faults += 1;
    }
    taken.finishLine();
    taken[Symbol.dispose]();
  }
  /** Temporal has no end of slices of one. */
  async function take(): Promise<void> {
    while (!ending.signal.aborted) {
      const room = await upstream.intake.room(ending.signal);
      room.end();
      sending.push(send(upstream.intake.take(1)));
    }
  }
  const sending: Promise<void>[] = [];
  const taking = assert.rejects(take());
  const curve = [];
  let [limits, longest] = [0, 0];
  const totalMs = scenario.minutes * 60_000;
  for (let sample = 1; sample <= SAMPLES; sample++) {
    await time.runUntil(startMs + (sample * totalMs) / SAMPLES);
    curve.push({ minute: (sample * scenario.minutes) / SAMPLES, limit: limiter.limit, queued: server.queued });
    limits += limiter.limit / SAMPLES;
    longest = Math.max(longest, server.queued);
  }
  const { tokens, answers, refused } = server;
  ending.abort();
  await time.runUntil(time.nowMs + 3_600_000);
  await Promise.all([taking, ...sending]);
  await immediate();
  return {
    row: {
      scenario: scenario.name,
      limiter: name,
      'share of the ideal': ((scenario.measure === 'answers' ? answers : tokens) / scenario.ideal).toFixed(2),
      refused: `${refused} of ${refused + answers}`,
      'mean limit': Math.round(limits),
      'longest queue': longest,
      faults,
    },
    curve,
  };
}

function page(): string {
  const columns = ['scenario', 'limiter', 'share of the ideal', 'refused', 'mean limit', 'longest queue', 'faults'] as const;
  const line = (cells: readonly unknown[]) => `| ${cells.join(' | ')} |`;
  return [
    '# The adaptive limiter, simulated',
    '',
    'Written by `npm run bench:limiter`: the real sending loop, intake, gate and limiter in simulated time, always with the same result.',
    'Ideal is what the simulated server could do at best if it were kept full from the first to the last second.',
    '',
    '![the limit over time in each scenario](limiter.svg)',
    '',
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map((column) => row[column]))),
    '',
    ...scenarios.map(({ name, about }) => `- **${name}**: ${about}`),
    '',
  ].join('\n');
}

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { testEnvironment } from '../helpers/environment.ts';
import { pythonWithSdk } from '../helpers/python.ts';
import type { Stack } from '../helpers/stack.ts';

/** What one run of a script under `python/` found, case by case. */
export interface PythonCases {
  /** Fails with the script's own words unless this case held; an error as well if the script has no such case. */
  assertHolds(number: number): void;
  /** What the case handed back; null if nothing. */
  valueOf(number: number): unknown;
}

interface Verdict {
  case: number;
  ok: boolean;
  detail: string;
  value: unknown;
}

const MAX_MS = 120_000;

/** Runs all cases of a script in one interpreter with the official SDK; every case answers for itself (`harness.py`). */
export async function runPythonCases(script: string, stack: Stack, ...args: string[]): Promise<PythonCases> {
  const path = fileURLToPath(new URL(`python/${script}`, import.meta.url));
  const child = spawn(await pythonWithSdk(), [path, stack.baseURL, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: testEnvironment({ PYTHONDONTWRITEBYTECODE: '1' }),
    timeout: MAX_MS,
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, 'close');
  const verdicts = new Map(
    stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line): Verdict => JSON.parse(line))
      .map((verdict) => [verdict.case, verdict]),
  );
  return {
    assertHolds(number) {
      const verdict = verdicts.get(number);
      assert.ok(verdict !== undefined, `${script} says nothing about case ${number}: ${stderr}`);
      assert.ok(verdict.ok, verdict.detail);
    },
    valueOf: (number) => verdicts.get(number)?.value ?? null,
  };
}

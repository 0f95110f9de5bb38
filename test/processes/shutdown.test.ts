import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';

const SHUTDOWN = new URL('../../src/processes/shutdown.ts', import.meta.url).href;

/** Runs a script with a `shutdown` in a process of its own; unless that `failed` already, sends it SIGTERM when it says `ready`. */
async function runWith(script: string, { deadlineMs = 30_000, failed = false } = {}): Promise<{ code: number | null; out: string }> {
  const source = `
    const { createShutdown } = await import('${SHUTDOWN}');
    const logger = new Proxy({}, { get: () => (...args) => console.log(args.at(-1)) });
    const shutdown = createShutdown({ deadlineMs: ${deadlineMs}, logger });
    const stay = setInterval(() => {}, 1000);
    ${script}
    console.log('ready');
    process.exit(await shutdown.ended());`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
    if (!failed && chunk.toString().includes('ready')) child.kill('SIGTERM');
  });
  await once(child, 'close');
  return { code: child.exitCode, out };
}

describe('createShutdown', () => {
  it('raises draining, then closes what was opened last first', async () => {
    const { code, out } = await runWith(`
      shutdown.draining.addEventListener('abort', () => console.log('draining'));
      shutdown.closes('store', () => console.log('store'));
      shutdown.closes('worker', async () => { await null; console.log('worker'); });`);
    assert.equal(code, 0);
    assert.deepEqual(
      out
        .trim()
        .split('\n')
        .filter((line) => ['draining', 'store', 'worker'].includes(line)),
      ['draining', 'worker', 'store'],
    );
  });

  it('ends with 1 when the deadline passes', async () => {
    const { code, out } = await runWith(`shutdown.closes('worker', () => new Promise(() => {}));`, { deadlineMs: 100 });
    assert.equal(code, 1);
    assert.match(out, /deadline has passed/);
  });

  it('closes the rest when something cannot be closed, and ends with 1', async () => {
    const { code, out } = await runWith(`
      shutdown.closes('store', () => console.log('store'));
      shutdown.closes('worker', () => { throw new Error('no'); });`);
    assert.equal(code, 1);
    assert.match(out, /worker could not be closed\nstore/);
  });

  it('ends with 1 by itself when the process cannot go on', async () => {
    assert.equal((await runWith(`shutdown.fail(new Error('broken'));`, { failed: true })).code, 1);
  });

  it('ends with 2 when its configuration turns out to be wrong', async () => {
    const script = `
      const { ConfigError } = await import('${new URL('../../src/config/config-error.ts', import.meta.url).href}');
      shutdown.fail(new ConfigError(['broken']));`;
    assert.equal((await runWith(script, { failed: true })).code, 2);
  });

  it('says of a failure that comes while it ends that it does not end in order, and ends with 1', async () => {
    const { code, out } = await runWith(`
      shutdown.closes('store', () => console.log('store'));
      shutdown.closes('worker', () => shutdown.fail(new Error('broken')));`);
    assert.equal(code, 1);
    assert.match(out, /this process does not end in order\nstore/);
    assert.doesNotMatch(out, /cannot go on/);
  });

  it('goes on closing in order when the first signal comes after the failure', async () => {
    const { code, out } = await runWith(`
      shutdown.closes('store', () => console.log('store'));
      shutdown.closes('worker', () => new Promise((resolve) => process.once('SIGTERM', resolve)));
      shutdown.fail(new Error('broken'));
      // Older than the time within which two signals count as one.
      await new Promise((resolve) => setTimeout(resolve, 1_200));`);
    assert.equal(code, 1);
    assert.match(out, /store/);
  });
});

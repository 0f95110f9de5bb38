import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startSliceHeartbeat } from '../../activities/run-requests/slice-heartbeat.ts';

const never = new AbortController().signal;

/** A heart that has beaten already, so that its worker would hold the next beat back for ten seconds. */
function startThrottled(tell: () => Promise<void>) {
  const told: object[] = [];
  const heartbeat = async (_: Uint8Array, details: object) => {
    told.push(details);
    await tell();
  };
  const heart = startSliceHeartbeat(
    { heartbeat: () => undefined, info: { taskToken: new Uint8Array() }, client: { activity: { heartbeat } } },
    10_000,
    () => ({ sent: true }),
  );
  heart.beat();
  return { heart, told };
}

describe('startSliceHeart', () => {
  it('flushes a beat past the throttle, and waits for the answer of the server', async () => {
    const { promise: answer, resolve: answered } = Promise.withResolvers<void>();
    const { heart, told } = startThrottled(() => answer);
    let isFlushed = false;
    const flushed = heart.beatAndFlush(never).then(() => (isFlushed = true));
    await new Promise(setImmediate);
    assert.deepEqual([told, isFlushed], [[{ sent: true }], false]);
    answered();
    const startedMs = performance.now();
    await flushed;
    assert.ok(performance.now() - startedMs < 5_000);
    heart[Symbol.dispose]();
  });

  it('asks whether the attempt is still the current one, and takes a refusal and a long silence for a no', async () => {
    const answers = [
      async () => undefined,
      async () => await Promise.reject(new Error('not found')),
      async () => await new Promise<void>(() => {}),
    ];
    const found = answers.map(async (answer) => {
      const { heart } = startThrottled(answer);
      const isCurrent = await heart.confirm();
      heart[Symbol.dispose]();
      return isCurrent;
    });
    assert.deepEqual(await Promise.all(found), [true, false, false]);
  });

  it('does not take a refusal for an answer, and waits until it is stopped or the throttle is over', async () => {
    const { heart } = startThrottled(async () => {
      throw new Error('this attempt has been given up');
    });
    const stopping = new AbortController();
    const flushing = assert.rejects(heart.beatAndFlush(stopping.signal), { name: 'AbortError' });
    await new Promise(setImmediate);
    stopping.abort();
    await flushing;
    heart[Symbol.dispose]();
  });
});

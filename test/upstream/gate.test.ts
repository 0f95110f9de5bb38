import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Attempt } from '../../src/domain/attempt.ts';
import { type ClosedGate, Gate, Ticket } from '../../src/upstream/admission/gate.ts';

const answer = (status: number) => ({ status, body: Buffer.alloc(0), requestId: null });
const OK: Attempt = { kind: 'answered', answer: answer(200), usage: null };
const REJECTED: Attempt = { kind: 'rejected', answer: answer(400), message: 'status 400' };
const AWAY: Attempt = { kind: 'away', message: 'ECONNREFUSED' };
const DENIED: Attempt = { kind: 'denied', answer: answer(401), retryAfterMs: null, message: 'status 401: "expired"' };
const TIMEOUT: Attempt = { kind: 'failed', code: 'request_timeout', answer: null, retryAfterMs: null, isCurable: true, message: 'silent' };
const failing = (status: number): Attempt => ({
  kind: 'failed',
  code: 'server_error',
  answer: answer(status),
  retryAfterMs: null,
  isCurable: true,
  message: `status ${status}`,
});
const unusable = (body: string): Attempt => ({ ...TIMEOUT, code: 'invalid_response', message: `no JSON object: ${body}` });
const refusing = (retryAfterMs: number | null = null): Attempt => ({
  kind: 'refused',
  answer: answer(429),
  retryAfterMs,
  message: 'status 429',
});

/** A gate in a time that only a test moves. */
function createScene(leastModels = 1) {
  let [nowMs, sequence] = [0, 0];
  const changes: (string | null)[] = [];
  const onChange = (closed: ClosedGate | null) => changes.push(closed?.reason ?? null);
  const gate = new Gate({ leastModels, nowMs: () => 1_000 + nowMs, monotonicMs: () => nowMs, onChange });
  const scene = {
    gate,
    changes,
    after: (ms: number) => (nowMs += ms),
    /** A request goes out. */
    send(requestKey: string, { isProbe = false, isEvidence = true, model = 'm' } = {}): Ticket {
      const ticket = new Ticket({ sequence: (sequence += 1), requestKey, model, isProbe, isEvidence, sentMs: nowMs });
      gate.sent(ticket);
      return ticket;
    },
    end(ticket: Ticket, attempt: Attempt): Ticket {
      nowMs += 1;
      gate.observe(ticket, attempt);
      return ticket;
    },
    /** A request goes out and ends. */
    try: (requestKey: string, attempt: Attempt, options = {}) => scene.end(scene.send(requestKey, options), attempt),
    probe: (attempt: Attempt) => scene.try('probe', attempt, { isProbe: true }),
  };
  return scene;
}

describe('a gate that is open', () => {
  const closing: [string, Attempt, number][] = [
    ['a connection that is refused', AWAY, 1],
    ['502 for three requests', failing(502), 3],
    ['timeouts of three requests', TIMEOUT, 3],
    ['401 for three requests', DENIED, 3],
    ['429 for three requests', refusing(), 3],
    ['the same page instead of JSON for three requests', unusable('<html>login'), 3],
  ];
  for (const [name, attempt, requests] of closing) {
    it(`closes by ${name}, and tells why and since when`, () => {
      const { gate, try: attemptOne, changes } = createScene();
      for (let count = 1; count < requests; count++) attemptOne(`r${count}`, attempt);
      assert.equal(gate.closed, null);
      attemptOne('last', attempt);
      const reason = 'message' in attempt ? attempt.message : '';
      assert.deepEqual(gate.closed, { kind: attempt.kind, reason, sinceMs: 1_000 + requests, closedAtMs: requests });
      assert.deepEqual(changes, [reason]);
    });
  }

  it('is not closed by one request, however often it fails', () => {
    const scene = createScene();
    for (let count = 0; count < 20; count++) scene.try('poison', failing(500));
    assert.equal(scene.gate.closed, null);
  });

  it('is not closed by requests whose answers are too large, and is opened by one', () => {
    const scene = createScene();
    const tooLarge: Attempt = { ...TIMEOUT, code: 'invalid_response', isCurable: false, isOwn: true, message: 'longer than 9 bytes' };
    for (const key of ['a', 'b', 'c', 'd']) assert.equal(scene.try(key, tooLarge).verdict, 'own');
    assert.equal(scene.gate.closed, null);
    scene.try('e', AWAY);
    scene.try('f', AWAY);
    assert.equal(scene.probe(tooLarge).verdict, 'own');
    assert.equal(scene.changes.at(-1), null);
  });

  it('is not closed by requests that failed by themselves before', () => {
    const scene = createScene();
    for (const key of ['a', 'b', 'c', 'd']) scene.try(key, failing(500), { isEvidence: false });
    assert.equal(scene.gate.closed, null);
  });

  it('is not closed when a request sent between was answered or rejected', () => {
    for (const between of [OK, REJECTED]) {
      const scene = createScene();
      scene.try('a', failing(502));
      scene.try('b', failing(502));
      scene.try('c', between);
      scene.try('d', failing(502));
      scene.try('e', failing(502));
      assert.equal(scene.gate.closed, null);
    }
  });

  it('takes no answer for a sign of life whose request went out before', () => {
    const scene = createScene();
    const slow = scene.send('slow');
    scene.try('a', failing(502));
    scene.try('b', failing(502));
    scene.end(slow, OK);
    scene.try('c', failing(502));
    assert.equal(scene.gate.closed?.kind, 'failed');
  });

  it('is not closed by requests that fail each in its own way', () => {
    const scene = createScene();
    for (const [at, attempt] of [failing(500), unusable(''), unusable('[1]'), unusable('text'), failing(502), TIMEOUT, DENIED].entries()) {
      scene.try(`r${at}`, attempt);
    }
    assert.equal(scene.gate.closed, null);
  });

  it('closes by three that fail alike among others that fail differently', () => {
    const scene = createScene();
    for (const [at, status] of [502, 504, 502, 504, 502].entries()) scene.try(`r${at}`, failing(status));
    assert.equal(scene.gate.closed?.reason, 'status 502');
  });

  it('stays open while a server that refuses some works on others', () => {
    const scene = createScene();
    scene.send('accepted');
    scene.after(1_500);
    for (const key of ['a', 'b', 'c', 'd']) scene.try(key, refusing());
    assert.equal(scene.gate.closed, null);
  });

  it('stays open when one connection fails while others are answered, and closes by the second with no answer between', () => {
    const scene = createScene();
    const [first, second] = [scene.send('a'), scene.send('b')];
    scene.try('c', OK);
    scene.end(first, AWAY);
    assert.equal(scene.gate.closed, null);
    scene.end(second, AWAY);
    assert.equal(scene.gate.closed, null);
    scene.try('d', AWAY);
    assert.equal(scene.changes.at(-1), 'ECONNREFUSED');
  });

  it('of a whole server closes only by failures of several models', () => {
    const scene = createScene(2);
    for (const key of ['a', 'b', 'c', 'd']) scene.try(key, failing(404));
    assert.equal(scene.gate.closed, null);
    scene.try('e', failing(404), { model: 'other' });
    assert.equal(scene.changes.at(-1), 'status 404');
  });
});

describe('the gate of a whole server', () => {
  it('does not call a failure the own one of its request because another model is answered', () => {
    const scene = createScene(2);
    const early = scene.try('a', DENIED);
    scene.try('b', OK, { model: 'other' });
    const behind = scene.send('c');
    scene.try('d', OK, { model: 'other' });
    assert.deepEqual([early.verdict, scene.end(behind, DENIED).verdict], [null, null]);
  });

  it('is not closed by probes of one model and a failure of another one, but by a probe that finds nobody', () => {
    const scene = createScene(2);
    for (const key of ['a', 'b', 'c']) scene.try(key, failing(500), { isProbe: true });
    scene.try('d', failing(500), { model: 'other' });
    assert.deepEqual(scene.changes, []);
    scene.try('e', AWAY, { isProbe: true });
    assert.deepEqual(scene.changes, ['ECONNREFUSED']);
  });
});

describe('what failed before a gate closed', () => {
  it('is shared by all when the gate closes by it', () => {
    const scene = createScene();
    const tickets = ['a', 'b', 'c'].map((key) => scene.try(key, failing(502)));
    const late = scene.send('late');
    assert.deepEqual(
      tickets.map(({ verdict }) => verdict),
      ['shared', 'shared', 'shared'],
    );
    assert.equal(scene.end(late, TIMEOUT).verdict, 'shared');
  });

  it('is its own when a request sent later was answered, before or after', () => {
    const scene = createScene();
    const early = scene.send('early');
    const waiting = scene.try('waiting', failing(500));
    assert.equal(waiting.verdict, null);
    scene.try('good', OK);
    assert.equal(waiting.verdict, 'own');
    assert.equal(scene.end(early, failing(500)).verdict, 'own');
  });
});

describe('a gate that is closed', () => {
  function closedScene(attempt: Attempt = failing(502)) {
    const scene = createScene();
    for (const key of ['a', 'b', 'c']) scene.try(key, attempt);
    assert.notEqual(scene.gate.closed, null);
    return scene;
  }

  it('lets probes go at intervals that grow to 15 s', () => {
    const scene = closedScene();
    const waits: number[] = [];
    for (let count = 0; count < 9; count++) {
      waits.push(scene.gate.probeWaitMs);
      scene.after(scene.gate.probeWaitMs);
      scene.probe(failing(502));
    }
    assert.deepEqual(
      waits.map((ms) => Math.round(ms / 10) * 10),
      [250, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000],
    );
  });

  it('waits as long as the server says before the next probe', () => {
    const scene = closedScene(refusing(3_600_000));
    assert.ok(scene.gate.probeWaitMs > 3_599_000);
  });

  it('sends further probes after ever longer times while four hang, and goes on when one was called off', () => {
    const scene = closedScene();
    const probes = [1, 2, 3, 4, 5].map(() => {
      scene.after(scene.gate.probeWaitMs);
      return scene.send('probe', { isProbe: true });
    });
    assert.equal(scene.gate.probeWaitMs, 60_000);
    const [first, second] = probes;
    assert.ok(first && second);
    scene.end(first, TIMEOUT);
    assert.ok(scene.gate.probeWaitMs <= 15_000);
    scene.end(second, { kind: 'aborted' });
    assert.equal(scene.gate.probeWaitMs, 0);
  });

  it('keeps the wait that the server asked for when a probe is called off', () => {
    const scene = closedScene();
    scene.after(scene.gate.probeWaitMs);
    const [first, second] = [scene.send('p', { isProbe: true }), scene.send('q', { isProbe: true })];
    scene.end(first, refusing(60_000));
    scene.end(second, { kind: 'aborted' });
    assert.ok(scene.gate.probeWaitMs > 59_000);
  });

  it('is opened by the answer to a probe, and by nothing else that a probe meets', () => {
    for (const attempt of [failing(502), refusing(), DENIED, AWAY, TIMEOUT, unusable('<html>')]) {
      const scene = closedScene(AWAY);
      assert.equal(scene.probe(attempt).verdict, 'shared');
      assert.deepEqual([scene.gate.closed?.kind, scene.gate.closed?.reason], [attempt.kind, 'message' in attempt ? attempt.message : '']);
      scene.probe(REJECTED);
      assert.equal(scene.gate.closed, null);
      assert.equal(scene.changes.at(-1), null);
    }
  });

  it('is opened by an answer to a request that went out after those that failed, and not by one from before', () => {
    const scene = createScene();
    const before = scene.send('before');
    const failed = ['a', 'b', 'c'].map((key) => scene.send(key));
    const behind = scene.send('behind');
    for (const ticket of failed) scene.end(ticket, failing(502));
    scene.end(before, OK);
    assert.equal(scene.gate.closed?.kind, 'failed');
    scene.end(behind, OK);
    assert.equal(scene.gate.closed, null);
  });

  it('that was closed by refusals is opened by any answer', () => {
    const scene = createScene();
    const before = scene.send('before');
    for (const key of ['a', 'b', 'c']) scene.try(key, refusing());
    assert.equal(scene.gate.closed?.kind, 'refused');
    scene.end(before, OK);
    assert.equal(scene.gate.closed, null);
  });
});

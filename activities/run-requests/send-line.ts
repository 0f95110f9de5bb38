import type { Attempt, Outcome } from '../../src/domain/attempt.ts';
import type { LineEffort } from '../../src/domain/piece.ts';
import type { PlannedLine } from '../../src/domain/plan.ts';
import { readRequestLine } from '../../src/domain/request-line.ts';
import { decide, sendsOf, timeoutFactor, type Tries, uncounted } from '../../src/domain/retry.ts';
import type { WaitFact } from '../../src/domain/waiting.ts';
import type { Entrant, Entry } from '../../src/upstream/admission/entrant.ts';
import type { Permit } from '../../src/upstream/admission/permit.ts';
import type { UpstreamRequest } from '../../src/upstream/client/client.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import type { Lease } from '../memory-budget.ts';
import { InputGoneError } from '../read-input.ts';
import { toLineResult } from './line-results.ts';
import type { Slice } from './run-slice.ts';
import {
  backoffFact,
  describeBucket,
  describeEntering,
  describeGate,
  describeRetry,
  describeSettling,
  enteringFact,
  momentary,
  reasonOf,
} from './waits.ts';

/** What became of a line. */
export type LineEnd =
  | { kind: 'outcome'; outcome: Outcome }
  /** It failed by itself. Another attempt of the activity tries it again after `waitMs`, at another server than `server`. */
  | { kind: 'retry'; tries: Tries; waitMs: number; code: string; status: number | null; server: number | null; fact: WaitFact }
  /** No server took it. Another attempt of the activity sends it after `waitMs`. `status` is null when it was not refused. */
  | { kind: 'postponed'; tries: Tries; waitMs: number; status: number | null; fact: WaitFact }
  /** It was aborted in flight. */
  | { kind: 'stopped' };

/** How often a request may be cut off together with others before it counts against the request, which may be what ends its server. */
const MAX_SHARED_RESETS = 20;
/** Lines of a process that may wait at gates or for their next try. Each of them costs heartbeats, so more of them wait in Temporal. */
const MAX_ASIDE = 512;
const POSTPONED_MS = 30_000;

/**
 * One line, from its bytes in the input to its result in a piece. It calls `passOn` as soon as the slice may begin another line. Rejects
 * with an `AbortError` when the slice is stopped while the line waits.
 */
export async function sendLine(planned: PlannedLine, slice: Slice, passOn: () => void): Promise<LineEnd> {
  const { line } = planned;
  if (!slice.bucketKeepsUp()) await waitForBucket(line, slice);
  const lease = await reserveMemory(planned, slice);
  try {
    const { customId } = planned;
    slice.status.name(customId);
    const bytes = await readLine(planned, slice);
    const effort: LineEffort = { attempts: sendsOf(slice.tries, slice.upstream.rules), milliseconds: null };
    const end = bytes === null ? inputGone(slice) : await sendUntilEnd({ line, ...readRequestLine(bytes), lease, effort }, slice, passOn);
    if (end.kind === 'outcome') {
      const result = toLineResult(end.outcome, { line, customId, randomHex: slice.randomHex, ...effort });
      lease.exchange(result.resultLine.length);
      slice.add(result);
    }
    return end;
  } finally {
    slice.status.show(line, null);
    lease.release();
  }
}

/** The bytes of a line; null when the input is gone. */
async function readLine(planned: PlannedLine, slice: Slice): Promise<Buffer | null> {
  try {
    return await slice.read(planned);
  } catch (error) {
    if (error instanceof InputGoneError) return null;
    throw error;
  }
}

/** Waiting would end in `batch_expired`, which does not say why. */
function inputGone({ input }: Slice): LineEnd {
  const message =
    `This request was not sent: the content of the input file ${input.inputFileId} is no longer in the bucket. ` +
    'Upload the input again and create a new batch with the requests that failed.';
  return { kind: 'outcome', outcome: { kind: 'errored', code: 'input_file_gone', message } };
}

/** How far the request of a line has come. */
interface Course {
  readonly line: number;
  readonly lease: Lease;
  readonly effort: LineEffort;
  readonly entrant: Entrant;
  readonly request: UpstreamRequest & { about: { attempt: number } };
  tries: Tries;
  sharedResets: number;
  denials: number;
}

/** What follows from one try. */
type Next = { kind: 'end'; end: LineEnd } | { kind: 'again' } | { kind: 'wait'; waitMs: number; status: number | null; reason: string };

/** Sends the request until it has an outcome, or until its next try is for another attempt of the activity. */
async function sendUntilEnd(
  { line, model, body, lease, effort }: { line: number; model: string; body: Uint8Array; lease: Lease; effort: LineEffort },
  slice: Slice,
  passOn: () => void,
): Promise<LineEnd> {
  const { upstream, stop, status, isPaced, tries } = slice;
  const { batchId, endpoint } = slice.input;
  const about = { batchId, line, attempt: effort.attempts };
  const request = { endpoint, body: upstream.rewrite(body), idempotencyKey: `${batchId}-${line}`, about, onBytes: lease.grow };
  const course: Course = { line, lease, effort, entrant: entrantOf(line, model, slice), request, tries, sharedResets: 0, denials: 0 };
  for (;;) {
    // In a function of its own, so that nothing holds the answer of a refused try while the line waits for the next one.
    const next = await tryOnce(course, slice, passOn);
    if (next.kind === 'end') return next.end;
    lease.dropAnswer();
    if (next.kind === 'again') continue;
    const { waitMs } = next;
    if (isPaced || mayNotStandAside(slice)) {
      return { kind: 'postponed', tries: course.tries, waitMs, status: next.status, fact: backoffFact(upstream, next.reason) };
    }
    passOn();
    status.show(line, describeRetry(upstream, next.reason, slice.nowMs() + waitMs));
    await aside(slice, async () => await slice.sleep(waitMs, stop.stopSending));
  }
}

async function tryOnce(course: Course, slice: Slice, passOn: () => void): Promise<Next> {
  const { line, entrant, request, effort } = course;
  const { upstream, stop, status, isPaced } = slice;
  entrant.faults = course.tries.faults;
  const entry = await enter(entrant, line, slice, passOn);
  if (entry === 'given_up') return { kind: 'end', end: givenUp(upstream, entrant) };
  // Temporal times each request of an upstream with a budget: what waited at a gate must not go out beside it.
  if (entry === 'postponed' || (isPaced && entry.isLate)) {
    if (entry !== 'postponed') entry.release();
    const waitMs = entry === 'postponed' ? POSTPONED_MS : 0;
    return { kind: 'end', end: { kind: 'postponed', tries: course.tries, waitMs, status: null, fact: enteringFact(upstream, entrant) } };
  }

  request.about.attempt += 1;
  const startedMs = slice.nowMs();
  const attempt = await sendWith(entry, { ...request, patience: timeoutFactor(course.tries) }, line, slice, passOn);
  if (attempt.kind === 'aborted') return { kind: 'end', end: { kind: 'stopped' } };
  const endedMs = slice.nowMs();
  effort.attempts = request.about.attempt;
  effort.milliseconds = Math.max(0, endedMs - startedMs);
  if (attempt.kind === 'failed' || attempt.kind === 'denied') {
    status.show(line, describeSettling(upstream, attempt));
    if (course.sharedResets < MAX_SHARED_RESETS && (await entry.isShared(stop.stopSending))) {
      if (isReset(attempt) && !entry.isProbe) course.sharedResets += 1;
      course.tries = uncounted(attempt, course.tries);
      status.count(course.tries);
      return { kind: 'again' };
    }
  }
  // Another server may let the request in.
  const isDeniedHere = attempt.kind === 'denied' && !isPaced && course.denials < upstream.servers - 1;
  if (isDeniedHere) course.denials += 1;
  // A probe that is refused says something about its server and nothing about the request.
  if (isDeniedHere || (attempt.kind === 'refused' && entry.isProbe)) return { kind: 'again' };

  const verdict = decide(attempt, course.tries, upstream.rules, slice.random());
  const { tries } = verdict;
  course.tries = tries;
  status.count(tries);
  if (verdict.kind === 'outcome') return { kind: 'end', end: verdict };
  const waitMs = Math.max(0, endedMs + verdict.waitMs - slice.nowMs());
  const cause = causeOf(attempt);
  if (verdict.kind === 'wait') return { kind: 'wait', waitMs, status: cause.status, reason: reasonOf(attempt) };
  return {
    kind: 'end',
    end: {
      kind: 'retry',
      tries,
      waitMs,
      server: upstream.numberOf(entry.server),
      ...cause,
      fact: backoffFact(upstream, reasonOf(attempt)),
    },
  };
}

/** Waits for a permit. Where nothing is to be waited for, nothing is awaited: this happens thousands of times a second. */
function enter(
  entrant: Entrant,
  line: number,
  slice: Slice,
  passOn: () => void,
): Exclude<Entry, 'closed'> | 'postponed' | Promise<Exclude<Entry, 'closed'> | 'postponed'> {
  const entry = slice.upstream.enter(entrant, slice.stop.stopSending);
  if (entry instanceof Promise || entry === 'closed') return waitToEnter(entry, entrant, line, slice, passOn);
  return entry;
}

async function waitToEnter(
  coming: Entry | Promise<Entry>,
  entrant: Entrant,
  line: number,
  slice: Slice,
  passOn: () => void,
): Promise<Exclude<Entry, 'closed'> | 'postponed'> {
  const { upstream, stop, status } = slice;
  status.show(line, describeEntering(upstream, entrant));
  let entry = await coming;
  while (entry === 'closed') {
    if (mayNotStandAside(slice)) return 'postponed';
    passOn();
    entrant.atGate = true;
    entry = await aside(slice, async () => await upstream.enter(entrant, stop.stopSending));
  }
  return entry;
}

/** While the line waits for something of its own, other lines take its capacity. */
async function aside<T>(slice: Slice, wait: () => Promise<T>): Promise<T> {
  const stepBack = slice.taken.stepAside();
  try {
    return await wait();
  } finally {
    stepBack();
  }
}

function mayNotStandAside({ upstream, memory }: Slice): boolean {
  // A line that stands aside keeps its body, and other lines need memory meanwhile.
  return upstream.intake.aside >= MAX_ASIDE || memory.isCrowded || memory.isHalfUsed;
}

/** Sends the request once. The permit is given back whatever happens. */
async function sendWith(permit: Permit, request: UpstreamRequest, line: number, slice: Slice, passOn: () => void): Promise<Attempt> {
  const { suspicion, stop, status, answerTime } = slice;
  let company: Disposable | null = null;
  try {
    if (suspicion !== null) company = await suspicion.join(stop.stopSending);
    if (!slice.bucketKeepsUp()) await waitForBucket(line, slice);
    status.show(line, 'sent');
    if (suspicion !== null) {
      await suspicion.announce(stop.stopSending);
      // Time has passed: a pause may lie in it.
      if (!slice.bucketKeepsUp()) await waitForBucket(line, slice);
    }
  } catch (error) {
    permit.release();
    company?.[Symbol.dispose]();
    throw error;
  }
  status.show(line, 'sent');
  answerTime.begin();
  passOn();
  let isAnswered = false;
  try {
    const attempt = await permit.send(request, stop.abort);
    isAnswered = attempt.kind === 'answered' || attempt.kind === 'rejected';
    return attempt;
  } finally {
    answerTime.end(isAnswered);
    company?.[Symbol.dispose]();
  }
}

async function waitForBucket(line: number, slice: Slice): Promise<void> {
  do {
    slice.status.show(line, describeBucket);
    await slice.writer.arrival(slice.stop.stopSending);
  } while (!slice.bucketKeepsUp());
}

async function reserveMemory({ line, length }: PlannedLine, { upstream, status, memory, writer, stop }: Slice): Promise<Lease> {
  status.show(line, () => momentary('for memory'));
  // A body that is changed lies in memory beside the line.
  const reserved = memory.reserve(upstream.copiesBodies ? 2 * length : length, stop.stopSending);
  // A line that waits for memory must not wait for results that are being gathered.
  if (memory.isCrowded) writer.flush();
  return await reserved;
}

function entrantOf(line: number, model: string, { input, upstream, taken, priority, lastServer }: Slice): Entrant {
  const { tenant, batchId } = input;
  return {
    tenant,
    batchId,
    model,
    priority,
    // Lines of a younger slice begin as well, but an older one is to end first.
    rank: taken.ordinal,
    requestKey: `${batchId}/${line}`,
    faults: 0,
    lastServer: upstream.serverAt(lastServer),
    probes: 0,
    atGate: false,
  };
}

function givenUp(upstream: Upstream, entrant: Entrant): LineEnd {
  const message = [upstream.givenUpMessage, ...describeGate(upstream, entrant)].join(': ');
  return { kind: 'outcome', outcome: { kind: 'errored', code: 'connection_error', message } };
}

function isReset(attempt: Attempt): boolean {
  return attempt.kind === 'failed' && attempt.code === 'connection_error';
}

/** Class and status; the words of the server stay out of Temporal's history. */
function causeOf(attempt: Attempt): { code: string; status: number | null } {
  const answer = 'answer' in attempt ? attempt.answer : null;
  return { code: attempt.kind === 'failed' ? attempt.code : attempt.kind, status: answer?.status ?? null };
}

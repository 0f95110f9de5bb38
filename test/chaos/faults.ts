import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../helpers/until.ts';
import type { House, Links } from './house.ts';
import type { Part } from './part.ts';
import type { Random } from './random.ts';

/** A span of `performance.now()`, both ends included. */
export interface Span {
  fromMs: number;
  toMs: number;
}

/** What befell a worker or its way upstream: calls that were under way at some time of it may have broken off. */
export interface Harm extends Span {
  worker: string;
  why: string;
  /** What was answered in this time may not have been stored, so that it is asked for again; null where nothing is lost. */
  lost: Span | null;
}

/** What was done to the house. */
export interface FaultLog {
  /** How often, by kind. */
  counts: Map<string, number>;
  timeline: string[];
  harms: Harm[];
  /** Times of `performance.now()`. */
  upstreamDeathsMs: number[];
  /** What a process did that nothing done to it or to others excuses. */
  complaints: string[];
  /** Notes one more, for what else a worker died of. */
  lost(worker: Part, fromMs: number, toMs: number, why: string): void;
}

/** Answers gather for a second, and the piece may be under way for longer, where the machine is busy with all that is started again. */
const NOT_STORED_MS = 4_000;
/** An answer that has passed the link to the upstream may not have left for the worker when that link is cut. */
const ON_THE_WAY_MS = 500;
/** A server's heartbeat timeout is 30 s; the last beat that it saw may be 18 s old when a silence begins. */
const SILENCE_MS = 8_000;
/** Until a beat of a worker that was given up is refused, at the latest. */
const REFUSED_MS = 20_000;
/** A silence that makes Temporal give up a worker. */
const LONG_PAUSE_MS = [33_000, 38_000] as const;

type Kind = 'kill' | 'pause' | 'cut' | 'stall' | 'drain' | 'long pause' | 'long cut';

/** Harms the house at random moments until the signal ends it; then everything is whole again. */
export async function runFaults({
  house,
  random,
  signal,
  print,
}: {
  house: House;
  random: Random;
  signal: AbortSignal;
  print: (line: string) => void;
}): Promise<FaultLog> {
  const log: FaultLog = { counts: new Map(), timeline: [], harms: [], upstreamDeathsMs: [], complaints: [], lost };
  const beganMs = performance.now();
  const busy = new Set<Part>();
  const running = new Set<Promise<void>>();
  const storeTrouble: { part: Part; fromMs: number; toMs: number }[] = [];
  const ours = [house.api, ...house.workers];
  const servers = [house.temporal, house.minio, house.upstream].filter((part) => part !== null);
  const everybody = [...ours, ...servers];

  function tell(line: string): void {
    log.timeline.push(line);
    print(line);
  }

  function note(kind: string, what: string, ms: number): void {
    const seconds = ((performance.now() - beganMs) / 1000).toFixed(1).padStart(6);
    tell(`${seconds} s  ${kind} ${what}${ms > 0 ? ` for ${ms} ms` : ''}`);
    log.counts.set(kind, (log.counts.get(kind) ?? 0) + 1);
  }

  /** What is answered and not stored when a process dies; longer ago where it could not store because the bucket was away or the process stood still. */
  function lost(part: Part, fromMs: number, toMs: number, why: string): void {
    const trouble = storeTrouble.filter((each) => (each.part === part || each.part === house.minio) && each.toMs + 5_000 >= fromMs);
    const sinceMs = Math.min(fromMs, ...trouble.map((each) => each.fromMs));
    log.harms.push({ worker: part.name, why, fromMs, toMs, lost: { fromMs: sinceMs - NOT_STORED_MS, toMs } });
  }

  /** Calls of these workers were held up or broken off on their way; `cutMs` is when their connections were. */
  function heldUp(workers: readonly Part[], fromMs: number, cutMs: number | null, why: string): void {
    const lost = cutMs === null ? null : { fromMs: fromMs - ON_THE_WAY_MS, toMs: cutMs };
    for (const worker of workers) log.harms.push({ worker: worker.name, why, fromMs, toMs: performance.now(), lost });
  }

  function silenced(part: Part, fromMs: number, why: string): void {
    const workers = part === house.temporal ? house.workers : house.workers.filter((worker) => worker === part);
    const toMs = performance.now();
    if (toMs - fromMs >= SILENCE_MS) for (const worker of workers) lost(worker, fromMs, toMs + REFUSED_MS, why);
  }

  async function harm(part: Part, kind: Kind): Promise<void> {
    const ms = kind.startsWith('long') ? random.between(...LONG_PAUSE_MS) : random.between(200, 5_000);
    const fromMs = performance.now();
    const isBucket = part === house.minio;
    const trouble = { part, fromMs, toMs: Infinity };
    // A process that stands still stores nothing either.
    if (isBucket || kind.endsWith('pause')) storeTrouble.push(trouble);
    if (kind === 'kill') {
      note(kind, part.name, ms);
      // Nobody is there to refuse connections but the links; first, so that nothing is sent to one that dies.
      if (part === house.upstream) for (const { upstream } of house.links.values()) upstream?.cut();
      await part.stop('SIGKILL');
      const deadMs = performance.now();
      if (house.workers.includes(part)) lost(part, fromMs, deadMs, 'kill');
      if (part === house.upstream) log.upstreamDeathsMs.push(deadMs);
      await delay(ms);
      await restart(part);
      if (part === house.upstream) for (const { upstream } of house.links.values()) await upstream?.heal();
      if (part === house.upstream) heldUp(house.workers, fromMs, deadMs, 'kill of the upstream');
      silenced(part, fromMs, 'kill');
    } else if (kind === 'drain') {
      note(kind, part.name, 0);
      // Nothing new is harmed during a drain, but a server that is away already may keep it from ending in time.
      const isExcused = servers.some((server) => busy.has(server));
      const code = await part.stop('SIGTERM');
      const told = `${part.name} ended with ${code} after SIGTERM`;
      if (code !== 0) tell(`         ${told}`);
      // Without a code it was ended by the signal itself: started just now, it could not hear it yet.
      if (code !== 0 && code !== null && !isExcused) log.complaints.push(`${told}, while all servers were there`);
      await restart(part);
    } else {
      note(kind, part.name, ms);
      part.pause();
      await delay(ms);
      part.resume();
      if (part === house.upstream) heldUp(house.workers, fromMs, null, 'pause of the upstream');
      silenced(part, fromMs, 'pause');
    }
    trouble.toMs = performance.now();
  }

  /** A server may be down again for the moment: a process of ours waits for it, and so do not we. */
  async function restart(part: Part): Promise<void> {
    if (part === house.api) part.launch();
    else await part.start();
  }

  async function harmLink(part: Part, name: keyof Links, kind: Kind): Promise<void> {
    const link = house.links.get(part)?.[name];
    if (link === null || link === undefined) return;
    const ms = kind.startsWith('long') ? random.between(...LONG_PAUSE_MS) : random.between(200, 6_000);
    note(kind, `${part.name}–${name}`, ms);
    const fromMs = performance.now();
    const trouble = { part, fromMs, toMs: Infinity };
    if (name === 'bucket') storeTrouble.push(trouble);
    if (kind === 'stall') link.stall();
    else link.cut();
    const cutMs = kind === 'stall' ? null : performance.now();
    await delay(ms);
    await link.heal();
    if (name === 'upstream') heldUp([part], fromMs, cutMs, `${kind} of the way upstream`);
    if (name === 'temporal') silenced(part, fromMs, 'cut');
    trouble.toMs = performance.now();
  }

  function begin(part: Part, work: () => Promise<void>): Promise<void> {
    busy.add(part);
    const task: Promise<void> = work().finally(() => (busy.delete(part), running.delete(task)));
    running.add(task);
    return task;
  }

  /** One harm; the long ones go on beside those that follow. */
  async function one(): Promise<void> {
    const idle = everybody.filter((part) => !busy.has(part));
    const [first, ...others] = idle.map((part) => [part, house.workers.includes(part) ? 3 : 1] as const);
    if (first === undefined) return;
    const part = random.weighted([first, ...others]);
    const isWorker = house.workers.includes(part);
    const kind = random.weighted<Kind>([
      ['kill', 6],
      ['pause', 3],
      ['drain', ours.includes(part) ? 1 : 0],
      ['cut', ours.includes(part) ? 3 : 0],
      ['stall', ours.includes(part) ? 2 : 0],
      ['long pause', isWorker ? 1.5 : part === house.temporal ? 0.5 : 0],
      ['long cut', isWorker ? 0.7 : 0],
    ]);
    if (kind === 'cut' || kind === 'stall' || kind === 'long cut') {
      const name =
        kind === 'long cut'
          ? 'temporal'
          : random.weighted<keyof Links>([
              ['temporal', 2],
              ['bucket', 2],
              ['upstream', 1],
            ]);
      const task = begin(part, async () => await harmLink(part, name, kind));
      if (kind !== 'long cut') await task;
    } else {
      const task = begin(part, async () => await harm(part, kind));
      if (kind !== 'long pause') await task;
    }
  }

  // Every run has a drain at a time that excuses nothing; a zombie, the first worker, which is taken for dead and comes back; a
  // kill; and a drain of the API.
  const [zombie, other] = house.workers;
  const isSending = () => house.calls.some(({ worker, end }) => worker === other?.name && end === 'open');
  await until(isSending, { what: 'a worker to send', seconds: 20, everyMs: 10 }).catch(() => undefined);
  if (other !== undefined) await begin(other, async () => await harm(other, 'drain'));
  if (zombie !== undefined) void begin(zombie, async () => await harm(zombie, 'long pause'));
  await delay(random.between(300, 2_500));
  if (other !== undefined) await begin(other, async () => await harm(other, 'kill'));
  await begin(house.api, async () => await harm(house.api, 'drain'));
  while (!signal.aborted) {
    await delay(random.between(300, 2_500));
    await one();
  }
  await Promise.all(running);
  return log;
}

import { isBatchId } from './ids.ts';
import { compare, type Entry, type QueuedBatch, TenantLine } from './tenant-line.ts';

/** What a batch is told: that it may start, or its place among the batches of its line that wait. */
export type QueueReply = { batchId: string; place: null } | { batchId: string; place: number; of: number };

/** The queue as JSON, small enough to be the input of a workflow. Seconds: `expires` after `base`, and `urgent` before the expiry. */
export interface QueueState {
  capacity: number | null;
  base: number;
  lines: [name: string, weight: number, admitted: Row[], waiting: Row[]][];
}
type Row = [id: string, lines: number, priority: number, expires: number, urgent: number, told: number];

/** One line in a listing, with the first of its batches. */
export interface QueueListing {
  tenant: string;
  /** Null for batches of several models. */
  model: string | null;
  /** Requests that its batches may want at a time before the next one waits. */
  share: number;
  admitted: string[];
  waiting: string[];
  allWaiting: number;
}

/** Before a worker has told the capacity. */
const UNKNOWN_CAPACITY = 32;
/** Admitted batches want this many times the capacity, so that the upstream stays busy while some of them end. */
const OVERCOMMIT = 2;
/** So many lines may have a batch admitted at a time, or as many as requests are wanted if these are more. */
const LEAST_LINES = 64;
/** With the admitted batches, these stay below the 2 MiB that Temporal takes as an input. */
export const MOST_WAITING = 20_000;
const ID_PREFIX = 'batch_';

/**
 * Which batches may use an upstream now, and in which order the others follow. A workflow calls this, so a change that alters an
 * answer is a change of commands.
 */
export class UpstreamQueue {
  readonly #lines = new Map<string, TenantLine>();
  readonly #entries = new Map<string, Entry>();
  #capacity: number | null;

  /** Empty, or as it was. */
  constructor(state: QueueState | null = null) {
    this.#capacity = state?.capacity ?? null;
    for (const [name, weight, admitted, waiting] of state?.lines ?? []) {
      const line = this.#lineOf(name, weight);
      const restore = (row: Row): Entry => fromRow(row, line, state?.base ?? 0);
      for (const row of admitted) line.admitted.add(restore(row));
      line.waiting.push(...waiting.map(restore));
      line.waiting.sort(compare);
      // So that the next look finds the urgent ones.
      line.nextUrgentMs = -Infinity;
      for (const entry of [...line.admitted, ...line.waiting]) this.#entries.set(entry.batchId, entry);
    }
  }

  /** Requests that the upstream can have in flight, over all workers, as told last. */
  get capacity(): number {
    return this.#capacity ?? UNKNOWN_CAPACITY;
  }

  get admitted(): number {
    return this.#sum(({ admitted }) => admitted.size);
  }

  get waiting(): number {
    return this.#sum(({ waiting }) => waiting.length);
  }

  get admittedIds(): string[] {
    return [...this.#lines.values()].flatMap(({ admitted }) => [...admitted].map(({ batchId }) => batchId));
  }

  /** When the next waiting batch becomes urgent; `Infinity` if none does. */
  get nextUrgentMs(): number {
    return [...this.#lines.values()].reduce((next, { nextUrgentMs }) => Math.min(next, nextUrgentMs), Infinity);
  }

  /** Puts a batch in, or replaces it by its id; one that is admitted stays so. Answers false if too many wait. */
  enter(batch: QueuedBatch, given: { tenant: string; model: string | null; weight: number; isAdmitted: boolean; nowMs: number }): boolean {
    const { tenant, model, weight, isAdmitted, nowMs } = given;
    const name = nameOf(tenant, model);
    const { batchId, priority, expiresAtMs, urgentFromMs, lines } = batch;
    const found = this.#entries.get(batchId);
    const runs = isAdmitted || found?.line.admitted.has(found) === true;
    // A line that has no batch here starts at once, so its batch is never sent away.
    if (!runs && found === undefined && this.#lines.has(name) && this.waiting >= MOST_WAITING) return false;
    this.leave(batchId);
    const line = this.#lineOf(name, weight);
    const entry: Entry = { batchId, priority, expiresAtMs, urgentFromMs, lines, line, rank: priority, told: isAdmitted ? 1 : 0 };
    this.#entries.set(batchId, entry);
    if (runs) line.admitted.add(entry);
    else line.insert(entry, nowMs);
    return true;
  }

  /** Takes a batch out; an unknown one is no error. */
  leave(batchId: string): void {
    const entry = this.#entries.get(batchId);
    if (entry === undefined) return;
    this.#entries.delete(batchId);
    entry.line.remove(entry);
    if (entry.line.isEmpty) this.#lines.delete(entry.line.name);
  }

  /** Notes how many requests the upstream can have in flight. */
  learn(capacity: number): void {
    this.#capacity = Math.max(1, capacity);
  }

  /** Admits all batches that may start. */
  admit(nowMs: number): void {
    const lines = [...this.#lines.values()];
    for (const line of lines) line.sort(nowMs);
    const using = lines.filter(({ admitted }) => admitted.size > 0);
    const others = lines.filter(({ admitted }) => admitted.size === 0);
    const free = Math.max(LEAST_LINES, this.#wanted) - using.length;
    const next = others.length <= free ? others : others.toSorted(byFirst).slice(0, Math.max(0, free));
    const shareOf = this.#shares();
    for (const line of [...using, ...next]) line.admit({ share: shareOf(line), capacity: this.capacity, nowMs });
  }

  /**
   * Up to `most` batches that are to be told something: that they may start, their first place, or that their place has halved.
   * They count as told.
   */
  replies(most: number): QueueReply[] {
    const replies: QueueReply[] = [];
    for (const { admitted } of this.#lines.values()) {
      for (const entry of admitted) {
        if (replies.length >= most) return replies;
        if (entry.told !== 0) continue;
        entry.told = 1;
        replies.push({ batchId: entry.batchId, place: null });
      }
    }
    for (const { waiting } of this.#lines.values()) {
      let place = 0;
      for (const entry of waiting) {
        if (replies.length >= most) return replies;
        place += 1;
        if (entry.told !== 0 && place > entry.told / 2) continue;
        entry.told = place;
        replies.push({ batchId: entry.batchId, place, of: waiting.length });
      }
    }
    return replies;
  }

  /** All lines, with up to `most` of their batches. */
  list(most: number): QueueListing[] {
    const shareOf = this.#shares();
    const ids = (entries: Iterable<Entry>) => [...entries].slice(0, most).map(({ batchId }) => batchId);
    return [...this.#lines.values()].map((line) => ({
      ...ownerOf(line),
      share: shareOf(line),
      admitted: ids(line.admitted),
      waiting: ids(line.waiting),
      allWaiting: line.waiting.length,
    }));
  }

  state(): QueueState {
    const first = [...this.#entries.values()].reduce((least, { expiresAtMs }) => Math.min(least, expiresAtMs), Infinity);
    const base = Number.isFinite(first) ? Math.floor(first / 1000) : 0;
    const rows = (entries: Iterable<Entry>) => [...entries].map((entry) => toRow(entry, base));
    const lines = [...this.#lines.values()].map(({ name, weight, admitted, waiting }): QueueState['lines'][number] => {
      return [name, weight, rows(admitted), rows(waiting)];
    });
    return { capacity: this.#capacity, base, lines };
  }

  get #wanted(): number {
    return OVERCOMMIT * this.capacity;
  }

  #shares(): (line: TenantLine) => number {
    const weights = this.#sum(({ weight }) => weight);
    return ({ weight }) => (this.#wanted * weight) / weights;
  }

  #sum(of: (line: TenantLine) => number): number {
    let sum = 0;
    for (const line of this.#lines.values()) sum += of(line);
    return sum;
  }

  #lineOf(name: string, weight: number): TenantLine {
    const line = this.#lines.get(name) ?? new TenantLine(name);
    line.weight = weight;
    this.#lines.set(name, line);
    return line;
  }
}

/** Each model of a tenant has a line of its own, so that batches of a model that is refused hold up no other. No tenant's name has a slash. */
function nameOf(tenant: string, model: string | null): string {
  return model === null ? tenant : `${tenant}/${model}`;
}

function ownerOf({ name }: TenantLine): { tenant: string; model: string | null } {
  const [tenant = '', ...model] = name.split('/');
  return { tenant, model: model.length === 0 ? null : model.join('/') };
}

function toRow({ batchId, lines, priority, expiresAtMs, urgentFromMs, told }: Entry, base: number): Row {
  const id = isBatchId(batchId) ? batchId.slice(ID_PREFIX.length) : batchId;
  const expires = Math.ceil(expiresAtMs / 1000);
  return [id, lines, priority, expires - base, Math.max(0, expires - Math.ceil(urgentFromMs / 1000)), told];
}

function fromRow([id, lines, priority, expires, urgent, told]: Row, line: TenantLine, base: number): Entry {
  const expiresAtMs = (base + expires) * 1000;
  const batchId = isBatchId(ID_PREFIX + id) ? ID_PREFIX + id : id;
  return { batchId, lines, priority, expiresAtMs, urgentFromMs: expiresAtMs - urgent * 1000, line, rank: priority, told };
}

function byFirst({ waiting: [a] }: TenantLine, { waiting: [b] }: TenantLine): number {
  return a === undefined || b === undefined ? 0 : compare(a, b);
}

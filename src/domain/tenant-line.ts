/** A batch that uses an upstream or waits for it. */
export interface QueuedBatch {
  batchId: string;
  /** 1 is most urgent, 5 least. */
  priority: number;
  expiresAtMs: number;
  /** From then on the batch goes before all batches of its tenant that are not urgent. */
  urgentFromMs: number;
  /** Lines without an outcome. */
  lines: number;
}

/** A batch with what the queue notes about it. */
export interface Entry extends QueuedBatch {
  line: TenantLine;
  /** 0 for an urgent batch, otherwise its priority, as it was when its line was last sorted. */
  rank: number;
  /** The place that it was told, 0 for nothing. An admitted batch was told so if this is not 0. */
  told: number;
}

const RANKS = 6;

/** The batches of one tenant for one model at one upstream: those that are admitted, and those that wait, in order. */
export class TenantLine {
  readonly name: string;
  weight = 1;
  readonly admitted = new Set<Entry>();
  readonly waiting: Entry[] = [];
  /** When the next waiting batch becomes urgent; `-Infinity` makes the next `sort` look. */
  nextUrgentMs = Infinity;

  constructor(name: string) {
    this.name = name;
  }

  get isEmpty(): boolean {
    return this.admitted.size === 0 && this.waiting.length === 0;
  }

  insert(entry: Entry, nowMs: number): void {
    entry.rank = rankOf(entry, nowMs);
    this.waiting.splice(this.#indexOf(entry), 0, entry);
    if (entry.rank > 0) this.nextUrgentMs = Math.min(this.nextUrgentMs, entry.urgentFromMs);
  }

  remove(entry: Entry): void {
    if (!this.admitted.delete(entry)) this.waiting.splice(this.#indexOf(entry), 1);
  }

  /** Sorts the waiting batches again if one of them has become urgent. */
  sort(nowMs: number): void {
    if (nowMs < this.nextUrgentMs) return;
    this.nextUrgentMs = Infinity;
    for (const entry of this.waiting) {
      entry.rank = rankOf(entry, nowMs);
      if (entry.rank > 0) this.nextUrgentMs = Math.min(this.nextUrgentMs, entry.urgentFromMs);
    }
    this.waiting.sort(compare);
  }

  /**
   * Admits the first batches, each as long as admitted batches that are at least as urgent want less than `share` requests at
   * a time. So the first batch of a tenant always starts, and less urgent batches hold up none.
   */
  admit({ share, capacity, nowMs }: { share: number; capacity: number; nowMs: number }): void {
    const wanted = Array.from({ length: RANKS }, () => 0);
    const want = (entry: Entry, from: number): void => {
      // No batch can have more in flight than the upstream.
      const requests = Math.max(1, Math.min(entry.lines, capacity));
      for (let rank = from; rank < RANKS; rank++) wanted[rank] = (wanted[rank] ?? 0) + requests;
    };
    for (const entry of this.admitted) want(entry, rankOf(entry, nowMs));
    let count = 0;
    for (const entry of this.waiting) {
      if ((wanted[entry.rank] ?? 0) >= share) break;
      want(entry, entry.rank);
      entry.told = 0;
      this.admitted.add(entry);
      count += 1;
    }
    this.waiting.splice(0, count);
  }

  /** Where a waiting batch stands, or belongs. */
  #indexOf(entry: Entry): number {
    let [from, to] = [0, this.waiting.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      const found = this.waiting[middle];
      if (found !== undefined && compare(found, entry) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

function rankOf({ urgentFromMs, priority }: QueuedBatch, nowMs: number): number {
  return urgentFromMs <= nowMs ? 0 : Math.max(1, Math.min(RANKS - 1, priority));
}

/** Urgent batches, then by priority, then by the end of the window, then older ones: ids begin with an inverted clock. */
export function compare(a: Entry, b: Entry): number {
  return a.rank - b.rank || a.expiresAtMs - b.expiresAtMs || (a.batchId > b.batchId ? -1 : a.batchId < b.batchId ? 1 : 0);
}

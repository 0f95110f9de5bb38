import type { InputChecker } from '../src/domain/check-input.ts';
import type { PlanSegment } from '../src/domain/plan.ts';
import type { PieceStore } from '../src/storage/piece-store.ts';
import type { PlanWriter } from './plan-writer.ts';

/** A segment ends after so many requests or bytes of input, with the shard that is cut then. Reading so much again takes seconds. */
export const SEGMENT_SIZE: SegmentSize = { requests: 100_000, bytes: 64 * 1024 * 1024 };

export interface SegmentSize {
  requests: number;
  bytes: number;
}

/** What earlier attempts have validated: all segments up to the one that is named, as one. */
export interface ValidatedPart {
  names: string[];
  last: PlanSegment;
  /** Ranges of all segments. */
  shards: PlanSegment['shards'];
  /** Of all segments, in order. */
  customIds: Buffer[];
  bodies: Buffer[];
}

/** Reads the segments up to this one; null where it is not there. */
export async function readSegments(
  pieces: Pick<PieceStore, 'getPlanSegment'>,
  batchId: string,
  name: string,
): Promise<ValidatedPart | null> {
  const last = await pieces.getPlanSegment(batchId, name);
  if (last === null) return null;
  const shards: PlanSegment['shards'] = [];
  const customIds: Buffer[] = [];
  const bodies: Buffer[] = [];
  // One after the other, because the JSON of a segment is several times as large as what is kept of it.
  for (const earlier of last.earlier) {
    const segment = await pieces.getPlanSegment(batchId, earlier);
    if (segment === null) return null;
    shards.push(...segment.shards);
    customIds.push(Buffer.from(segment.customIds, 'base64'));
    bodies.push(Buffer.from(segment.bodies, 'base64'));
  }
  shards.push(...last.shards);
  customIds.push(Buffer.from(last.customIds, 'base64'));
  bodies.push(Buffer.from(last.bodies, 'base64'));
  return { names: [...last.earlier, name], last, shards, customIds, bodies };
}

/** Writes a segment whenever enough of the input has been validated; an attempt after this one goes on from there. */
export interface SegmentWriter {
  /** To be called after each line, with where its bytes end. Answers a promise where a segment is to be written. */
  taken(line: { line: number; end: number }): Promise<void> | null;
}

/** `onSegment` is called with the name of each segment that is written. */
export function createSegmentWriter(given: {
  pieces: Pick<PieceStore, 'putPlanSegment'>;
  batchId: string;
  /** Of this attempt: no other writes under its names. */
  nonce: string;
  checker: InputChecker;
  plan: PlanWriter;
  from: ValidatedPart | null;
  size: SegmentSize;
  onSegment: (name: string) => void;
}): SegmentWriter {
  const { pieces, batchId, nonce, checker, plan, from, size, onSegment } = given;
  const names = [...(from?.names ?? [])];
  let began = { requests: checker.requests, end: from?.last.place.offset ?? 0, shards: plan.shards };
  let shardsBefore = plan.shards;

  async function write(line: number, end: number): Promise<void> {
    const name = `${nonce}-${names.length}`;
    await plan.settle();
    await pieces.putPlanSegment(batchId, name, {
      earlier: [...names],
      place: { line, offset: end },
      ...plan.state(began.shards),
      checked: checker.state(),
      customIds: checker.takeCustomIds().toString('base64'),
      bodies: checker.takeBodies().toString('base64'),
    });
    names.push(name);
    began = { requests: checker.requests, end, shards: plan.shards };
    onSegment(name);
  }

  return {
    taken({ line, end }) {
      const isCut = plan.shards > shardsBefore || !checker.isClean;
      shardsBefore = plan.shards;
      const isDue = checker.requests - began.requests >= size.requests || end - began.end >= size.bytes;
      // A shard that is not full would be one more of those that a plan may have.
      return isDue && isCut ? write(line, end) : null;
    },
  };
}

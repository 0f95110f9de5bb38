import { ApplicationFailure } from '@temporalio/activity';
import { addUsage, type Batch, type BatchRecord, isTerminal, zeroUsage } from '../src/domain/batch.ts';
import { DEFAULT_FILE_LIFE_SECONDS } from '../src/domain/file.ts';
import { type FailureGroup, sumFailures } from '../src/domain/failures.ts';
import { newFileId } from '../src/domain/ids.ts';
import type { JoinedObject } from '../src/domain/join-parts.ts';
import { transition } from '../src/domain/lifecycle.ts';
import type { Publication, ShardResult } from '../src/domain/piece.ts';
import { batchUsage, type ModelUsage } from '../src/domain/usage.ts';
import type { PublishResultsInput, SavedBatch } from '../workflows/contract.ts';
import type { ResultCopies } from '../src/storage/own-bucket.ts';
import { startHeartbeat } from './heartbeat.ts';
import type { ControlMemory } from './control-memory.ts';
import type { ActivityDeps } from './deps.ts';
import type { EndBatch } from './end-batch.ts';
import { asSaved, unknownBatch } from './save-batch.ts';

/** What a result file has left to live, at least, when its publishing begins: half of the shortest life that a client may ask for. */
const LEAST_LIFE_SECONDS = 1800;

/** The type of the failure while the bucket of a tenant is away or refuses. */
const OWN_BUCKET_AWAY = 'OwnBucketAway';

/** A result file to be: its id, name, and the objects of the shards that make it up. */
interface ResultFile {
  id: string;
  filename: string;
  objects: JoinedObject[];
}

/**
 * Writes output and error file, then the terminal record, then removes the open marker. Ids and times are decided once per
 * batch, shard results never change, and file records are create-only: whoever runs this again, or at the same time, writes
 * the same bytes under the same names, and finds what is there already. Only after an outage that took the life of the files
 * are ids and times decided anew; whoever still goes by the old ones ends without a terminal record.
 */
export function createPublishResults(
  deps: Pick<ActivityDeps, 'files' | 'batches' | 'pieces' | 'copies' | 'nowMs' | 'randomHex'> & {
    controlMemory: ControlMemory;
    endBatch: EndBatch;
  },
) {
  const { files, batches, pieces, copies, nowMs, controlMemory, endBatch } = deps;

  async function shardResults(batchId: string): Promise<{ results: ShardResult[]; usage: ModelUsage[] }> {
    const [head, results] = await Promise.all([pieces.getPlanHead(batchId), pieces.listShardResults(batchId)]);
    if (head?.verdict === 'accepted' && head.shards.length === results.length) return { results, usage: batchUsage(results, head.models) };
    // The workflow is wrong about its shards; started again by the sweep it begins with what is closed.
    throw ApplicationFailure.nonRetryable(`${results.length} shards are closed, the plan has another number.`, 'ShardsMissing');
  }

  /** Bytes first, then the record: a half file is never visible. */
  async function publishFile(
    { tenant, batchId }: { tenant: string; batchId: string },
    file: ResultFile,
    times: { createdAt: number; expiresAt: number },
    work: { signal: AbortSignal; onPart: (bytes: number) => void },
  ): Promise<void> {
    if ((await files.get(tenant, file.id)) !== null) return;
    using _memory = await controlMemory.publishing(work.signal);
    const bytes = file.objects.reduce((sum, object) => sum + object.bytes, 0);
    const content = await files.openJoined(tenant, file.id, batchId);
    await content.complete(file.objects, bytes, work);
    // Exists already: another attempt was faster, or its reader has deleted the file meanwhile, which stands.
    await files.createRecord(tenant, {
      id: file.id,
      object: 'file',
      bytes,
      created_at: times.createdAt,
      expires_at: times.expiresAt,
      filename: file.filename,
      purpose: 'batch_output',
      status: 'processed',
      status_details: null,
    });
  }

  /** The batch waits for the bucket of its tenant: what was promised to be there is there when the batch has ended. */
  async function copyToOwnBucket(file: Parameters<ResultCopies['copy']>[0], work: Parameters<ResultCopies['copy']>[1]): Promise<void> {
    using _memory = await controlMemory.publishing(work.signal);
    await copies.copy(file, work).catch((cause: unknown) => {
      work.signal.throwIfAborted();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw ApplicationFailure.create({ type: OWN_BUCKET_AWAY, message: `The batch waits for the bucket of its tenant: ${why}` });
    });
  }

  /** The publication by which the files are written. One whose files would be gone, or nearly, has another put in its place. */
  async function standingPublication(tenant: string, batchId: string, lifeSeconds: number): Promise<Publication> {
    const next = decidePublication(deps);
    let standing = await pieces.createPublication(batchId, next);
    // The ids were decided with the first results, and the time is decided now.
    if (standing.createdAt === null) {
      standing = await pieces.replacePublication(batchId, standing, { ...standing, createdAt: next.createdAt });
    }
    if ((standing.createdAt ?? 0) + lifeSeconds - next.createdAt >= LEAST_LIFE_SECONDS) return standing;
    const replaced = await pieces.replacePublication(batchId, standing, next);
    // No batch will name them.
    for (const id of [standing.outputFileId, standing.errorFileId]) await files.delete(tenant, id);
    return replaced;
  }

  async function assertStands(batchId: string, { outputFileId }: Publication): Promise<void> {
    if ((await pieces.getPublication(batchId))?.outputFileId === outputFileId) return;
    throw ApplicationFailure.retryable('The files were to be gone soon; others are published in their place.', 'PublicationReplaced');
  }

  /** The record with everything that is known only now; null when the batch may not end this way any more. */
  function endedRecord(
    found: BatchRecord,
    to: PublishResultsInput['to'],
    results: readonly ShardResult[],
    ids: { output: string | null; error: string | null },
    nowSeconds: number,
  ): BatchRecord | null {
    const moved = transition(found.batch, to, nowSeconds);
    if (moved === null) return null;
    const completed = results.reduce((sum, result) => sum + result.completed, 0);
    const failed = results.reduce((sum, result) => sum + result.failed, 0);
    const copied = results.reduce((sum, result) => sum + result.copied, 0);
    const failures = sumFailures(results.map((result) => result.failures));
    return {
      ...found,
      batch: {
        ...moved,
        output_file_id: ids.output,
        error_file_id: ids.error,
        request_counts: { total: moved.request_counts.total, completed, failed },
        usage: results.reduce((sum, { usage }) => addUsage(sum, usage), zeroUsage()),
        ...withAdditions(moved, { failures, copied }),
      },
    };
  }

  return async function publishResults({ tenant, batchId, to }: PublishResultsInput): Promise<SavedBatch> {
    const progress = { bytes: 0 };
    using heartbeat = startHeartbeat(() => progress);
    const work = { signal: heartbeat.signal, onPart: (bytes: number) => void (progress.bytes += bytes) };
    const found = await batches.get(tenant, batchId);
    if (found === null) throw unknownBatch();
    if (isTerminal(found.batch.status)) return await finish(found);

    const { results, usage } = await shardResults(batchId);
    const lifeSeconds = found.output_expires_after_seconds ?? DEFAULT_FILE_LIFE_SECONDS;
    const publication = await standingPublication(tenant, batchId, lifeSeconds);
    const createdAt = publication.createdAt ?? Math.floor(nowMs() / 1000);
    const times = { createdAt, expiresAt: createdAt + lifeSeconds };
    const output = {
      id: publication.outputFileId,
      filename: `${batchId}_output.jsonl`,
      objects: objectsOf(results, 'output'),
    };
    const error = {
      id: publication.errorFileId,
      filename: `${batchId}_error.jsonl`,
      objects: objectsOf(results, 'error'),
    };
    for (const [role, file] of [
      ['output', output],
      ['error', error],
    ] as const) {
      if (file.objects.length === 0) continue;
      await publishFile({ tenant, batchId }, file, times, work);
      await copyToOwnBucket({ tenant, batchId, fileId: file.id, role }, work);
    }

    const ids = { output: idOf(output), error: idOf(error) };
    const fileId = ids.output ?? ids.error;
    if (fileId !== null) await pieces.writeResultIndex({ tenant, batchId, fileId, shards: results.length }, heartbeat.step);
    await assertStands(batchId, publication);
    const nowSeconds = Math.floor(nowMs() / 1000);
    const record = await batches.update(tenant, batchId, (current) => {
      const ended = endedRecord(current, to, results, ids, nowSeconds);
      return ended === null ? null : { ...ended, usage_by_model: usage };
    });
    if (record === null) throw unknownBatch();
    // Not terminal: a cancel came first. The files stand, and are those of the cancelled batch.
    return isTerminal(record.batch.status) ? await finish(record) : asSaved(record);
  };

  async function finish(record: BatchRecord): Promise<SavedBatch> {
    await endBatch(record);
    return asSaved(record);
  }
}

/** The additions to a batch that has ended, where there are any. */
function withAdditions(
  { nightshift }: Pick<Batch, 'nightshift'>,
  { failures, copied }: { failures: FailureGroup[]; copied: number },
): Pick<Batch, 'nightshift'> {
  if (failures.length === 0 && copied === 0) return {};
  const deduplicated = copied === 0 ? {} : { deduplicated: copied };
  return { nightshift: { ...nightshift, ...deduplicated, ...(failures.length === 0 ? {} : { failures }) } };
}

function idOf({ id, objects }: ResultFile): string | null {
  return objects.length > 0 ? id : null;
}

/** Ids that no other file has, and the time. */
export function decidePublication({ nowMs, randomHex }: Pick<ActivityDeps, 'nowMs' | 'randomHex'>): Publication & { createdAt: number } {
  const now = nowMs();
  return { outputFileId: newFileId(now, randomHex(12)), errorFileId: newFileId(now, randomHex(12)), createdAt: Math.floor(now / 1000) };
}

/** The objects that make up one of the files, in the order of the shards. */
export function objectsOf(results: readonly ShardResult[], role: 'output' | 'error'): JoinedObject[] {
  return results.flatMap((result) => {
    const object = result[role];
    return object === null ? [] : [{ shard: result.shard, ...object }];
  });
}

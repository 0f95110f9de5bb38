import type { JoinedObject } from '../src/domain/join-parts.ts';
import type { Appended, AppendResultsInput } from '../workflows/contract.ts';
import { startHeartbeat } from './heartbeat.ts';
import type { ControlMemory } from './control-memory.ts';
import type { ActivityDeps } from './deps.ts';
import { decidePublication, objectsOf } from './publish-results.ts';

/** Bytes of results, of one of the two files, from which on they are appended. Small results are published in one PUT. */
const APPEND_BYTES = 8 * 1024 * 1024;

/** The size of parts is decided with the first ones, for files that grow to so many times what these let expect. */
const GROWTH = 2;

/**
 * Appends the results of closed shards to the uploads of the result files while later shards run, so that little is left when the
 * last one closes. The cut into parts follows from the shard results, which never change. So a second run, at the same time or later, sends
 * the same parts. `publishResults` sends what is missing in the end.
 */
export function createAppendResults(
  deps: Pick<ActivityDeps, 'files' | 'pieces' | 'nowMs' | 'randomHex'> & { controlMemory: ControlMemory },
) {
  const { files, pieces, controlMemory } = deps;

  return async function appendResults({ tenant, batchId, closedShards, shards, appended }: AppendResultsInput): Promise<Appended> {
    const progress = { bytes: 0 };
    using heartbeat = startHeartbeat(() => progress);
    const fresh = await pieces.readShardResults(batchId, appended.shards, closedShards);
    const left: Appended = { ...appended, shards: closedShards };
    const onPart = (bytes: number) => void (progress.bytes += bytes);

    async function append(role: 'output' | 'error', fileId: string): Promise<void> {
      const content = await files.openJoined(tenant, fileId, batchId);
      const { firstShard } = content;
      const earlier = await pieces.readShardResults(batchId, firstShard, Math.max(firstShard, appended.shards));
      const objects = objectsOf([...earlier, ...fresh.filter(({ shard }) => shard >= firstShard)], role);
      const expectedBytes = GROWTH * sumOf(objects) * (shards / Math.max(1, closedShards - firstShard));
      left[role] = await content.append(objects, { signal: heartbeat.signal, onPart, expectedBytes });
    }

    for (const role of ['output', 'error'] as const) left[role] += sumOf(objectsOf(fresh, role));
    if (left.output < APPEND_BYTES && left.error < APPEND_BYTES) return left;
    // When the files are made is decided when all of their bytes are there.
    using _memory = await controlMemory.publishing(heartbeat.signal);
    const publication = await pieces.createPublication(batchId, { ...decidePublication(deps), createdAt: null });
    if (left.output >= APPEND_BYTES) await append('output', publication.outputFileId);
    if (left.error >= APPEND_BYTES) await append('error', publication.errorFileId);
    return left;
  };
}

function sumOf(objects: readonly JoinedObject[]): number {
  return objects.reduce((sum, { bytes }) => sum + bytes, 0);
}

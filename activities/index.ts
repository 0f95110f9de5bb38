import type {
  Appended,
  AppendResultsInput,
  AskToEnterInput,
  CleanBucketInput,
  CleanResult,
  ClosedShard,
  CloseShardInput,
  DeliveredWebhook,
  DeliverWebhookInput,
  FindEndedInput,
  ListStoredInput,
  PublishResultsInput,
  RanRequests,
  ReadShardInput,
  ReviveResult,
  RunRequestsInput,
  SaveBatchInput,
  SavedBatch,
  ShardLines,
  StoredLines,
  ValidatedInput,
  ValidateInputInput,
} from '../workflows/contract.ts';
import { createBatchesRunning } from './batches-running.ts';
import { createAppendResults } from './append-results.ts';
import { createCleanBucket } from './clean-bucket.ts';
import { createCloseShard } from './close-shard.ts';
import { createControlMemory } from './control-memory.ts';
import { createDeliverWebhook } from './deliver-webhook.ts';
import type { ActivityDeps } from './deps.ts';
import { createEndBatch } from './end-batch.ts';
import { createHeavyWork } from './heavy-work.ts';
import { createRecordCounts } from './record-counts.ts';
import { createListStored } from './list-stored.ts';
import { createPublishResults } from './publish-results.ts';
import { createReadShard } from './read-shard.ts';
import { createReviveBatches } from './revive-batches.ts';
import { createRunRequests } from './run-requests/run-requests.ts';
import { createPieceReader } from './run-requests/shard-pieces.ts';
import { createSaveBatch } from './save-batch.ts';
import { createValidateInput } from './validate-input.ts';

/** The side effects of a batch, as workflows see them. All of them may run twice, also at the same time. */
export interface Activities {
  /** Checks every line of the input and writes the plan; finds the plan of an earlier attempt and uses it. */
  validateInput(input: ValidateInputInput): Promise<ValidatedInput>;
  /** Says which lines of a shard go to which of its upstreams. */
  readShard(input: ReadShardInput): Promise<ShardLines>;
  /** Says which lines of a shard have an outcome in a piece. */
  listStored(input: ListStoredInput): Promise<StoredLines>;
  /** Sends the requests of a slice and stores what came of them in pieces. */
  runRequests(input: RunRequestsInput): Promise<RanRequests>;
  /** Makes the shard result out of the pieces, once; or says which lines have no outcome yet. */
  closeShard(input: CloseShardInput): Promise<ClosedShard>;
  /** Appends the results of closed shards to output and error file, while others run. */
  appendResults(input: AppendResultsInput): Promise<Appended>;
  /** Writes output and error file, then the terminal record. */
  publishResults(input: PublishResultsInput): Promise<SavedBatch>;
  /** Moves the record where that is legal; answers the record as it stands. */
  saveBatch(input: SaveBatchInput): Promise<SavedBatch>;
  /** Sends one event to one webhook endpoint, once. */
  deliverWebhook(input: DeliverWebhookInput): Promise<DeliveredWebhook>;
  /** Starts forgotten batches, starts anew those that are stuck, and repeats forgotten cancels. */
  reviveBatches(): Promise<ReviveResult>;
  /** Removes expired files, old uploads and the work of ended batches from the bucket. */
  cleanBucket(input: CleanBucketInput): Promise<CleanResult>;
  /** Asks one page of the running batches to enter the queue of an upstream again; answers where the next page begins, null after the last. */
  askToEnter(input: AskToEnterInput): Promise<string | null>;
  /** Says which of these batches have no running workflow. */
  findEnded(input: FindEndedInput): Promise<string[]>;
}

/** The activities of one worker process; its memory bounds and caches live in here. */
export function createActivities(deps: ActivityDeps): Activities {
  const batchesRunning = createBatchesRunning(deps);
  const [controlMemory, heavyWork] = [createControlMemory(), createHeavyWork()];
  const readPieces = createPieceReader(deps.pieces);
  const recordCounts = createRecordCounts(deps);
  const endBatch = createEndBatch(deps);
  return {
    validateInput: createValidateInput({ ...deps, batchesRunning, controlMemory, heavyWork }),
    runRequests: createRunRequests({ ...deps, batchesRunning, heavyWork, readPieces, recordCounts }),
    readShard: createReadShard(deps),
    listStored: createListStored({ readPieces, recordCounts }),
    closeShard: createCloseShard({ ...deps, controlMemory }),
    appendResults: createAppendResults({ ...deps, controlMemory }),
    publishResults: createPublishResults({ ...deps, controlMemory, endBatch }),
    saveBatch: createSaveBatch({ ...deps, endBatch }),
    deliverWebhook: createDeliverWebhook(deps),
    reviveBatches: createReviveBatches({ ...deps, endBatch }),
    cleanBucket: createCleanBucket(deps),
    askToEnter: async ({ upstream, from }) => await deps.queuedBatches.askToEnter(upstream, from),
    findEnded: async ({ batchIds }) => await deps.queuedBatches.ended(batchIds),
  };
}

/** What a batch has learned about its upstream, handed from shard to shard and from run to run. */
export interface Pace {
  /** Lines that may be handed out and not finished, over the whole batch. */
  lead: number;
  /** Mean time upstream of a request, send to last byte; null before the first answer. */
  meanUpstreamMs: number | null;
  /** Batches that share the activity budget. */
  batchesRunning: number;
}

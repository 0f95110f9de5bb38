import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import type { BatchStatus } from '../src/domain/batch.ts';
import { shownText } from '../src/domain/shown-text.ts';
import type { Pace } from '../src/domain/slice.ts';
import type { BatchInput, QueuePlace, ShardInput } from './contract.ts';
import type { HandOut } from './hand-out.ts';

/** What is shown of a batch besides its status. */
export interface BatchProgress {
  model: string | null;
  upstreams: readonly string[];
  total: number;
  completed: number;
  failed: number;
  shards: number;
  openShards: number[];
  waiting?: QueuePlace[];
  pace: Pace;
}

/** Keeps what the Temporal UI shows of a batch up to date: search attributes, and the details above its history. */
export interface BatchDetails {
  status(status: BatchStatus, isPaused: boolean): void;
  /** Progress, whenever there is any: the details of a workflow are kept in its memory, where a query reads them. */
  progress(progress: BatchProgress): void;
}

/** Shows one batch. It writes to the history only when the status or the model changes. */
export function showBatch(input: BatchInput): BatchDetails {
  let status: BatchStatus | null = null;
  let isPaused = false;
  let model: string | null = null;
  let last: BatchProgress | null = null;

  function tell(): void {
    setCurrentDetails(details(input.tenant, { status, isPaused }, last));
  }

  return {
    status(next, paused) {
      const isNews = isPaused !== paused;
      isPaused = paused;
      if (next === status) return isNews ? tell() : undefined;
      const tenant = { key: { name: 'BatchTenant', type: 'KEYWORD' as const }, value: input.tenant };
      upsertSearchAttributes([{ key: { name: 'BatchStatus', type: 'KEYWORD' }, value: next }, ...(status === null ? [tenant] : [])]);
      status = next;
      tell();
    },
    progress(progress) {
      last = progress;
      if (progress.model !== null && progress.model !== model) {
        model = progress.model;
        // Cut by the worker that validated as well, but not by one of an earlier version: too long a value ends the workflow.
        upsertSearchAttributes([{ key: { name: 'BatchModel', type: 'KEYWORD' }, value: shownText(model) }]);
      }
      tell();
    },
  };
}

/** Shows one shard. It writes nothing to the history. */
export function showShard({ range, upstream, mixed }: ShardInput, handOut: HandOut, doing: 'handing out' | 'closing'): void {
  const { completed, failed, linesOut, pace } = handOut;
  const rows = [
    `**${handOut.over ? 'ending' : doing}**`,
    `- ${completed} completed and ${failed} failed of ${range.requests}, ${linesOut} out`,
    `- lines ${range.firstLine}–${range.lastLine}, ${upstreamsInWords(mixed?.map(({ name }) => name) ?? [upstream])}, ${inWords(pace)}`,
  ];
  setCurrentDetails(rows.join('\n'));
}

function details(
  tenant: string,
  { status, isPaused }: { status: BatchStatus | null; isPaused: boolean },
  progress: BatchProgress | null,
): string {
  const rows = [`**${status ?? 'starting'}${isPaused ? ', paused' : ''}**`];
  if (progress !== null) {
    const { completed, failed, total, shards, openShards, waiting = [], pace } = progress;
    rows.push(
      ...waiting.map((place) => waitingInWords(tenant, place)),
      `- ${completed} completed and ${failed} failed of ${total} in closed shards; open ones show theirs`,
      `- ${openShards.length} of ${shards} shards open${openShards.length > 0 ? `: ${openShards.slice(0, 8).join(', ')}` : ''}`,
      `- ${upstreamsInWords(progress.upstreams)}, ${inWords(pace)}`,
      `- model ${progress.model === null ? 'several' : shownText(progress.model)}`,
    );
  }
  return rows.join('\n');
}

function waitingInWords(tenant: string, { upstream, place, of }: QueuePlace): string {
  const where = place === null || of === null ? 'no place yet' : `place ${inDigits(place)} of ${inDigits(of)}`;
  return `- waits for upstream ${upstream}: ${where} in the queue of tenant ${tenant}`;
}

function inDigits(count: number): string {
  return count.toLocaleString('en');
}

/** The pace that is shown beside them is that of the first. */
export function upstreamsInWords(names: readonly string[]): string {
  return `${names.length === 1 ? 'upstream' : 'upstreams'} ${names.join(', ')}`;
}

function inWords({ meanUpstreamMs, lead }: Pace): string {
  return `${meanUpstreamMs === null ? 'no answer yet' : `${Math.round(meanUpstreamMs)} ms per request`}, lead ${lead}`;
}

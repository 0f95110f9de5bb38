import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import type { BatchStatus } from '../src/domain/batch.ts';
import { shownText } from '../src/domain/shown-text.ts';
import type { Pace } from '../src/domain/slice.ts';
import type { BatchInput } from './contract.ts';

const TELL_AGAIN_MS = 2_000;

/** What there is to tell about a batch besides its status. */
export interface Chapter {
  model: string | null;
  upstream: string;
  total: number;
  completed: number;
  failed: number;
  shards: number;
  openShards: number[];
  pace: Pace;
}

/** Keeps what the Temporal UI shows of a batch up to date: search attributes, and the details above its history. */
export interface Story {
  status(status: BatchStatus): void;
  /** Progress; told at most every two seconds, and never by a timer of its own. */
  progress(chapter: Chapter): void;
}

/** Tells the story of one batch; writes to the history only when the status or the model changes. */
export function tellStory(input: BatchInput): Story {
  let status: BatchStatus | null = null;
  let model: string | null = null;
  let last: Chapter | null = null;
  let toldAtMs = 0;

  function tell(): void {
    toldAtMs = Date.now();
    setCurrentDetails(details(status, last));
  }

  return {
    status(next) {
      if (next === status) return;
      const tenant = { key: { name: 'BatchTenant', type: 'KEYWORD' as const }, value: input.tenant };
      upsertSearchAttributes([{ key: { name: 'BatchStatus', type: 'KEYWORD' }, value: next }, ...(status === null ? [tenant] : [])]);
      status = next;
      tell();
    },
    progress(chapter) {
      last = chapter;
      if (chapter.model !== null && chapter.model !== model) {
        model = chapter.model;
        // Cut by the worker that validated as well, but not by one of an earlier version: too long a value ends the workflow.
        upsertSearchAttributes([{ key: { name: 'BatchModel', type: 'KEYWORD' }, value: shownText(model) }]);
      }
      if (Date.now() - toldAtMs >= TELL_AGAIN_MS) tell();
    },
  };
}

function details(status: BatchStatus | null, chapter: Chapter | null): string {
  const rows = [`**${status ?? 'starting'}**`];
  if (chapter !== null) {
    const { completed, failed, total, shards, openShards, pace } = chapter;
    const mean = pace.meanUpstreamMs === null ? 'no answer yet' : `${Math.round(pace.meanUpstreamMs)} ms per request`;
    rows.push(
      `- ${completed} completed and ${failed} failed of ${total}, counted in closed shards`,
      `- ${openShards.length} of ${shards} shards open${openShards.length > 0 ? `: ${openShards.slice(0, 8).join(', ')}` : ''}`,
      `- upstream ${chapter.upstream}, ${mean}, lead ${pace.lead}`,
      `- model ${chapter.model === null ? 'several' : shownText(chapter.model)}`,
    );
  }
  return rows.join('\n');
}

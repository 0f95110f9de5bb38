import { Client, Connection } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type OpenAI from 'openai';
import type { House } from './house.ts';

const METRICS = /^nightshift_upstream_(in_flight|in_flight_limit|waiting|gate_closed)\b.*$/gm;

/** Why a batch may not end: what its workflows wait for, and how the workers are. A line each. */
export async function tellStuck(house: House, batches: readonly OpenAI.Batch[]): Promise<string[]> {
  const lines: string[] = [];
  for (const worker of house.workers) {
    const metrics = await house.metricsOf(worker).catch((error: unknown) => `does not answer: ${String(error)}`);
    lines.push(`${worker.name}: ${metrics.match(METRICS)?.join(' ') ?? metrics.slice(0, 200)}`);
  }
  const connection = await Connection.connect({ address: `127.0.0.1:${house.temporalPort}` });
  try {
    for (const batch of batches) lines.push(...(await tellBatch(new Client({ connection }), batch)));
  } finally {
    await connection.close();
  }
  return lines;
}

async function tellBatch(client: Client, batch: OpenAI.Batch): Promise<string[]> {
  const lines: string[] = [];
  const { status, request_counts } = batch;
  lines.push(`${batch.id}: ${status} ${JSON.stringify(request_counts)}`);
  for await (const found of client.workflow.list({ query: `WorkflowId STARTS_WITH '${batch.id}'` })) {
    const { raw, historyLength, status: state } = await client.workflow.getHandle(found.workflowId, found.runId).describe();
    const task = raw.pendingWorkflowTask;
    const asked = task ? `, workflow task in state ${task.state}, attempt ${task.attempt}` : '';
    lines.push(`  ${found.workflowId.slice(batch.id.length) || 'batch'}: ${state.name}, ${historyLength} events${asked}`);
    for (const { activityType, activityId, state: how, attempt, lastFailure, heartbeatDetails } of raw.pendingActivities ?? []) {
      const [beat] = heartbeatDetails?.payloads ?? [];
      const details = beat ? JSON.stringify(defaultPayloadConverter.fromPayload(beat)) : 'no heartbeat';
      lines.push(
        `    ${activityType?.name} ${activityId}: state ${how}, attempt ${attempt}, ${lastFailure?.message ?? 'no failure'}, ${details}`,
      );
    }
  }
  return lines;
}
